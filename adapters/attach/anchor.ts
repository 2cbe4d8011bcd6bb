/** Something that lives with one owner: which one is known when it is asked for. */
export interface Anchor {
  /** For the error, when that owner has gone. */
  readonly what: string;
  generation: number | undefined;
}

export const anchor = (what: string): Anchor => ({ what, generation: undefined });
