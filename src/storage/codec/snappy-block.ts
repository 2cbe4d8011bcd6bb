/**
 * A block, decompressed: in WebAssembly where there is such a thing, which takes a third of the time. What that finds fault
 * with is left to the reader in TypeScript, which knows what is wrong; so is what is too large for the memory.
 */
import { SNAPPY_MODULE } from './snappy-module.ts';
import { snappyDecompress, snappyUncompressedLength } from './snappy.ts';

/** Fills the output from the input; 0: it cannot be done. All four are places in the memory. */
type Decompress = (input: number, inputEnd: number, output: number, outputEnd: number) => number;

/** So much of WebAssembly as is used here: TypeScript has it with a browser's types only. Node without a JIT has none. */
declare const WebAssembly:
  | {
      readonly Memory: new (pages: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
      readonly Module: new (bytes: Uint8Array) => object;
      readonly Instance: new (
        module: object,
        imports: { alluvium: { memory: object } },
      ) => { readonly exports: { readonly decompress: Decompress } };
    }
  | undefined;

/** Blocks before it is compiled: that takes a millisecond, which whoever opens a store for one look would wait for. */
const WARM_UP_BLOCKS = 64;
const PAGES = 4;
/** Where the output begins: half of the memory is for each. */
const OUTPUT = (PAGES * 64 * 1024) / 2;
/** Behind each is room for a word that begins within it. */
const BLOCK_BYTES_MAX = OUTPUT - 8;

let blocksLeft = WARM_UP_BLOCKS;
/** `undefined`: not compiled yet, or not to be had. */
let quick: { readonly memory: Uint8Array<ArrayBuffer>; readonly decompress: Decompress } | undefined;

function begin(): void {
  if (typeof WebAssembly === 'undefined') return;
  try {
    const pages = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
    const module = new WebAssembly.Module(Buffer.from(SNAPPY_MODULE, 'base64'));
    const { exports } = new WebAssembly.Instance(module, { alluvium: { memory: pages } });
    quick = { memory: new Uint8Array(pages.buffer), decompress: exports.decompress };
  } catch {
    // A process whose addresses are limited (`ulimit -v`) has no room for it: a memory reserves gigabytes of them. A read goes on.
  }
}

/**
 * Decompresses `bytes[start, end)`. @returns new bytes
 *
 * @throws Malformed when the stream is damaged, or says that it is longer than 64 MiB, or than so few bytes can hold
 */
export function snappyBlock(bytes: Uint8Array, start: number, end: number): Uint8Array<ArrayBuffer> {
  const length = snappyUncompressedLength(bytes, start, end);
  if (blocksLeft > 0 && --blocksLeft === 0) begin();
  const atOnce = decompressQuickly(bytes, start, end, length);
  if (atOnce !== undefined) return atOnce;
  const contents = new Uint8Array(length);
  snappyDecompress(bytes, start, end, contents);
  return contents;
}

/**
 * In WebAssembly. `undefined`: there is none (yet), the block is too large for it, or the stream is damaged.
 *
 * @param length - what the stream says of its own
 */
export function decompressQuickly(
  bytes: Uint8Array,
  start: number,
  end: number,
  length: number,
): Uint8Array<ArrayBuffer> | undefined {
  if (quick === undefined) return undefined;
  const { memory, decompress } = quick;
  const inputEnd = end - start;
  if (length > BLOCK_BYTES_MAX || inputEnd > BLOCK_BYTES_MAX) return undefined;
  let elements = 1; // where they begin: behind the length, which has not always been written in as few bytes as it takes
  while ((bytes[start + elements - 1] as number) >= 0x80) elements += 1;
  memory.set(inputEnd === bytes.length ? bytes : bytes.subarray(start, end), 0);
  const outputEnd = OUTPUT + length;
  return decompress(elements, inputEnd, OUTPUT, outputEnd) === 0 ? undefined : memory.slice(OUTPUT, outputEnd);
}
