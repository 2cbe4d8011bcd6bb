/**
 * How records lie in a log or a manifest (LevelDB db/log_format.h):
 *
 *     file     := block* (the last one may be short)
 *     block    := fragment* trailer              32,768 bytes
 *     fragment := checksum fixed32               masked CRC-32C of the type byte and the payload
 *                 length   fixed16               of the payload
 *                 type     byte                  FULL 1 | FIRST 2 | MIDDLE 3 | LAST 4
 *                 payload  byte[length]
 *     trailer  := zero byte{0,6}                 where no header fits any more
 *     record   := FULL | FIRST MIDDLE* LAST
 *
 * A fragment never crosses a block's end, so a reader that lost its way finds it again at the next block. Never write
 * another type: LevelDB takes an unknown one for the end of the file, and drops the rest without a word.
 */

export const BLOCK_BYTES = 32_768;
export const HEADER_BYTES = 7;

/** What preallocated space looks like. Never written as a fragment. */
export const ZERO = 0;
export const FULL = 1;
export const FIRST = 2;
export const MIDDLE = 3;
export const LAST = 4;

/** A record may hold a value of 1 GiB and 1 MiB of what goes with it; what claims to be longer is damage. */
export const RECORD_BYTES_MAX: number = 2 ** 30 + 2 ** 20;
