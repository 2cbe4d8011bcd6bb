/**
 * Bytes that do not follow their format. Thrown inside decoders only, where an `Either` per number would cost more than
 * the number; the folder that knows the file's name turns it into a `CorruptionError` at its edge. Never reaches users.
 */
export class Malformed extends Error {
  /** Index of the first bad byte in the buffer being decoded (not in the file: the caller knows the base). */
  readonly offset: number;

  constructor(reason: string, offset: number) {
    super(reason);
    this.name = 'Malformed';
    this.offset = offset;
  }
}
