/** Logs made by hand: files in memory, write batches, and the fragments that hold them. */
import { writeFixed32, writeFixed64 } from '../../src/storage/codec/fixed.ts';
import { crc32c, maskCrc } from '../../src/storage/codec/crc32c.ts';
import type { ReadableFile } from '../../src/storage/file-system/file-system.ts';
import type { LogFile } from '../../src/storage/wal/log-recovery.ts';
import { RecordWriter } from '../../src/storage/wal/record-writer.ts';

/** Bytes that read as a file. */
export class BytesFile implements ReadableFile {
  readonly path = '/bytes';
  bytes: Uint8Array;
  /** Most bytes asked for in one read so far. */
  readBytesMax = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  size(): Promise<number> {
    return Promise.resolve(this.bytes.length);
  }

  read(into: Uint8Array, position: number): Promise<number> {
    this.readBytesMax = Math.max(this.readBytesMax, into.length);
    const piece = this.bytes.subarray(position, position + into.length);
    into.set(piece);
    return Promise.resolve(piece.length);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export function logFile(number: number, bytes: Uint8Array): LogFile {
  return { number, name: `${String(number).padStart(6, '0')}.log`, file: new BytesFile(bytes) };
}

/** A write batch of `count` sets of the key 'k', all values of `valueBytes` bytes that tell the sequence number. */
export function batchOf(sequence: number, count = 1, valueBytes = 4): Uint8Array {
  const values = Array.from({ length: count }, (_unused, index) => {
    const value = new Uint8Array(valueBytes);
    for (let at = 0; at < valueBytes; at += 1) value[at] = (sequence + index) * 31 + at * 7;
    return [1, 1, 0x6b, ...varint(valueBytes), ...value];
  });
  const bytes = Uint8Array.from([...new Uint8Array(12), ...values.flat()]);
  writeFixed64(bytes, 0, sequence);
  writeFixed32(bytes, 8, count);
  return bytes;
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))];
}

/** One fragment, its checksum right, whatever it says. */
export function fragment(type: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(7 + payload.length);
  bytes.set([payload.length & 255, payload.length >>> 8, type], 4);
  bytes.set(payload, 7);
  writeFixed32(bytes, 0, maskCrc(crc32c(payload, 0, payload.length, crc32c(Uint8Array.of(type), 0, 1))));
  return bytes;
}

export function joined(...pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(pieces));
}

/** The records, framed. */
export function framed(...records: readonly Uint8Array[]): Uint8Array {
  const writer = new RecordWriter();
  for (const record of records) writer.add(record, 0, record.length);
  return writer.staged().slice();
}

/** A copy with the byte at `offset` changed. */
export function flipped(bytes: Uint8Array, offset: number, mask = 0xff): Uint8Array {
  const copy = bytes.slice();
  copy[offset] = (copy[offset] ?? 0) ^ mask;
  return copy;
}
