/** What is fuzzed: one decoder, and what may be expected of it whatever it is given. */

export interface FuzzTarget {
  readonly name: string;
  /** Encodings that are right, of every kind that the format knows: where the mutations begin. */
  readonly seeds: () => readonly Uint8Array[];
  /** Longest input that is made; default 2,048 bytes. */
  readonly bytesMax?: number;
  /** Makes checksums and lengths fit again, so that the mutation comes past them; most inputs go through it, some do not. */
  readonly seal?: (bytes: Uint8Array) => Uint8Array;
  /** Pieces that the format is made of. */
  readonly words?: readonly (string | Uint8Array)[];
  /**
   * Decodes; and where that succeeds, checks that what it gave encodes to what decodes to the same, by `assert` or anything
   * else that throws. A decoder that returns its refusal may throw nothing.
   */
  readonly decode: (bytes: Uint8Array) => unknown;
  /** Whether this is how the decoder says no. Anything else that it throws is a bug. */
  readonly isRefusal: (error: unknown) => boolean;
}

/** Nothing may be thrown: the decoder says no by what it returns. */
export const never = (): boolean => false;

/** Refusal by an error of these classes, and no other. */
export const oneOf =
  (...classes: readonly (abstract new (...given: never[]) => Error)[]): ((error: unknown) => boolean) =>
  (error) =>
    classes.some((each) => error instanceof Error && error.constructor === each);
