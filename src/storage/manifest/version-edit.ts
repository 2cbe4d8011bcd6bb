/**
 * One step from version to version, as the MANIFEST records it: a list of tagged fields, each at most once but the
 * lists. LevelDB refuses a tag that it does not know, so nothing of ours may go in here.
 *
 *   edit            := field*
 *   field           := 1 bytes(comparator)       | 2 varint(log number)        | 3 varint(next file number)
 *                    | 4 varint(last sequence)   | 5 level bytes(internal key)                 compaction pointer
 *                    | 6 level varint(file)                                                    deleted table
 *                    | 7 level varint(file) varint(size) bytes(smallest) bytes(largest)        new table
 *                    | 9 varint(previous log number)
 *   bytes(x)        := varint32(length) x        level := varint32, below 7
 *
 * Source: LevelDB db/version_edit.cc.
 */
import * as E from 'fp-ts/lib/Either.js';
import { CorruptionError } from '../../errors.ts';
import { decodeInternalKey } from '../codec/internal-key.ts';
import { Malformed } from '../codec/malformed.ts';
import { type ByteCursor, readVarint32, readVarint64, varintLength, writeVarint } from '../codec/varint.ts';
import { LEVELS, type TableMeta } from './table-meta.ts';

export interface LeveledTable {
  readonly level: number;
  readonly table: TableMeta;
}

export interface DeletedTable {
  readonly level: number;
  readonly fileNumber: number;
}

export interface CompactionPointer {
  readonly level: number;
  /** Internal key behind which the next compaction of the level begins. */
  readonly key: Uint8Array;
}

export interface VersionEdit {
  readonly comparator?: string;
  readonly logNumber?: number;
  readonly previousLogNumber?: number;
  readonly nextFileNumber?: number;
  readonly lastSequence?: number;
  readonly compactionPointers?: readonly CompactionPointer[];
  readonly deletedTables?: readonly DeletedTable[];
  readonly newTables?: readonly LeveledTable[];
}

const COMPARATOR = 1;
const LOG_NUMBER = 2;
const NEXT_FILE_NUMBER = 3;
const LAST_SEQUENCE = 4;
const COMPACTION_POINTER = 5;
const DELETED_TABLE = 6;
const NEW_TABLE = 7;
const PREVIOUS_LOG_NUMBER = 9;

/** Collects varints and byte strings; sizes are added up first, so that one allocation serves. */
class FieldWriter {
  readonly #parts: (number | Uint8Array)[] = [];
  #length = 0;

  number(value: number): this {
    this.#parts.push(value);
    this.#length += varintLength(value);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.number(value.length);
    this.#parts.push(value);
    this.#length += value.length;
    return this;
  }

  finish(): Uint8Array {
    const out = new Uint8Array(this.#length);
    let offset = 0;
    for (const part of this.#parts) {
      if (typeof part === 'number') {
        offset = writeVarint(out, offset, part);
      } else {
        out.set(part, offset);
        offset += part.length;
      }
    }
    return out;
  }
}

export function encodeVersionEdit(edit: VersionEdit): Uint8Array {
  const writer = new FieldWriter();
  if (edit.comparator !== undefined) writer.number(COMPARATOR).bytes(new TextEncoder().encode(edit.comparator));
  if (edit.logNumber !== undefined) writer.number(LOG_NUMBER).number(edit.logNumber);
  if (edit.previousLogNumber !== undefined) writer.number(PREVIOUS_LOG_NUMBER).number(edit.previousLogNumber);
  if (edit.nextFileNumber !== undefined) writer.number(NEXT_FILE_NUMBER).number(edit.nextFileNumber);
  if (edit.lastSequence !== undefined) writer.number(LAST_SEQUENCE).number(edit.lastSequence);
  for (const { level, key } of edit.compactionPointers ?? [])
    writer.number(COMPACTION_POINTER).number(level).bytes(key);
  for (const { level, fileNumber } of edit.deletedTables ?? []) {
    writer.number(DELETED_TABLE).number(level).number(fileNumber);
  }
  for (const { level, table } of edit.newTables ?? []) {
    writer.number(NEW_TABLE).number(level).number(table.fileNumber).number(table.fileBytes);
    writer.bytes(table.smallest).bytes(table.largest);
  }
  return writer.finish();
}

function readBytes(cursor: ByteCursor & { readonly end: number }): Uint8Array {
  const length = readVarint32(cursor);
  if (length > cursor.end - cursor.offset) throw new Malformed('a byte string is cut short', cursor.offset);
  const bytes = cursor.bytes.slice(cursor.offset, cursor.offset + length);
  cursor.offset += length;
  return bytes;
}

function readLevel(cursor: ByteCursor): number {
  const level = readVarint32(cursor);
  if (level >= LEVELS) throw new Malformed(`there is no level ${level}`, cursor.offset);
  return level;
}

function readInternalKey(cursor: ByteCursor & { readonly end: number }): Uint8Array {
  const key = readBytes(cursor);
  const decoded = decodeInternalKey(key);
  if (E.isLeft(decoded)) throw new Malformed(decoded.left, cursor.offset);
  return key;
}

/** Its lists are there, if they are empty. */
export type DecodedEdit = VersionEdit &
  Required<Pick<VersionEdit, 'compactionPointers' | 'deletedTables' | 'newTables'>>;

type Draft = { -readonly [Name in keyof VersionEdit]: VersionEdit[Name] } & {
  compactionPointers: CompactionPointer[];
  deletedTables: DeletedTable[];
  newTables: LeveledTable[];
};

function readField(cursor: ByteCursor & { readonly end: number }, draft: Draft): void {
  const tag = readVarint32(cursor);
  switch (tag) {
    case COMPARATOR:
      draft.comparator = new TextDecoder().decode(readBytes(cursor));
      return;
    case LOG_NUMBER:
      draft.logNumber = readVarint64(cursor);
      return;
    case PREVIOUS_LOG_NUMBER:
      draft.previousLogNumber = readVarint64(cursor);
      return;
    case NEXT_FILE_NUMBER:
      draft.nextFileNumber = readVarint64(cursor);
      return;
    case LAST_SEQUENCE:
      draft.lastSequence = readVarint64(cursor);
      return;
    case COMPACTION_POINTER:
      draft.compactionPointers.push({ level: readLevel(cursor), key: readInternalKey(cursor) });
      return;
    case DELETED_TABLE:
      draft.deletedTables.push({ level: readLevel(cursor), fileNumber: readVarint64(cursor) });
      return;
    case NEW_TABLE: {
      const level = readLevel(cursor);
      const fileNumber = readVarint64(cursor);
      const fileBytes = readVarint64(cursor);
      const smallest = readInternalKey(cursor);
      draft.newTables.push({ level, table: { fileNumber, fileBytes, smallest, largest: readInternalKey(cursor) } });
      return;
    }
    default:
      throw new Malformed(`tag ${tag} is unknown`, cursor.offset);
  }
}

/**
 * @param file - named in the error
 * @param offset - where in the file the record begins, for the error
 */
export function decodeVersionEdit(
  bytes: Uint8Array,
  file: string,
  offset: number,
): E.Either<CorruptionError, DecodedEdit> {
  const cursor = { bytes, offset: 0, end: bytes.length };
  const draft: Draft = { compactionPointers: [], deletedTables: [], newTables: [] };
  try {
    while (cursor.offset < cursor.end) readField(cursor, draft);
    return E.right(draft);
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown; // a bug of ours, not bad bytes
    return E.left(new CorruptionError(file, offset, `version edit: ${thrown.message} (at its byte ${cursor.offset})`));
  }
}
