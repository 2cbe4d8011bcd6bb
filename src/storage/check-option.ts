/** What the compiler could not see: a plain-JavaScript caller, a parsed file. Wrong options throw at the call. */
import { InvalidArgumentError, OutOfRangeError } from '../errors.ts';

/** A whole number in [min, max]. */
export function whole(name: string, given: unknown, min: number, max: number, fallback: number): number {
  if (given === undefined) return fallback;
  if (typeof given !== 'number') throw new InvalidArgumentError(name, 'a number', given);
  if (!Number.isSafeInteger(given) || given < min || given > max) {
    throw new OutOfRangeError(name, `a whole number from ${min} to ${max}`, given);
  }
  return given;
}

export function choice<Name extends string>(
  name: string,
  given: unknown,
  choices: readonly Name[],
  fallback: Name,
): Name {
  if (given === undefined) return fallback;
  const found = choices.find((one) => one === given);
  if (found === undefined) throw new InvalidArgumentError(name, `one of ${choices.join(', ')}`, given);
  return found;
}

export function flag(name: string, given: unknown, fallback: boolean): boolean {
  if (given === undefined) return fallback;
  if (typeof given !== 'boolean') throw new InvalidArgumentError(name, 'true or false', given);
  return given;
}
