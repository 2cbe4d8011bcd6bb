import type { Readable } from 'node:stream';

/** Where bytes come in: stdin, or something in its place. */
export type Input = Readable & { readonly isTTY?: boolean };
