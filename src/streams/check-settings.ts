/** Options objects as plain-JavaScript callers may give them: refused at the call, with the family's own error. */
import { InvalidArgumentError } from '../errors.ts';

/** Refuses what is no object, and a `signal` in it that is none. */
export function checkSettings(name: string, settings: unknown): void {
  if (settings === undefined) return;
  if (typeof settings !== 'object' || settings === null) throw new InvalidArgumentError(name, 'an object', settings);
  if (!('signal' in settings)) return;
  const { signal } = settings;
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw new InvalidArgumentError(`${name}.signal`, 'an AbortSignal', signal);
}
