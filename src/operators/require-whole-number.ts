import { OutOfRangeError } from '../errors.ts';

/**
 * Every bound of an operator is a whole number of at least 1; anything else is a mistake in the calling code.
 *
 * @internal
 */
export function requireWholeNumber(argument: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new OutOfRangeError(argument, 'a whole number of at least 1', value);
  }
}
