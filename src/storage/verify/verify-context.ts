/** What all parts of a check share: where to read, where to tell, and when to let others have a turn. */
import { AbortedError, CorruptionError, IoError } from '../../errors.ts';
import type { FileSystem, ReadableFile } from '../file-system/file-system.ts';
import { pathOf } from '../file-names.ts';
import { FindingList, type VerifyCode, type VerifyProgress } from './verify-report.ts';

/** What a check needs from outside. */
export interface VerifyPorts {
  readonly fileSystem: FileSystem;
  /** Lets the event loop have a turn. */
  readonly yieldTurn: () => Promise<void>;
  readonly onProgress: ((progress: VerifyProgress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
  /** Findings that the report lists at most. */
  readonly findingsMax: number;
}

/** Entries looked at between two turns of the event loop: a millisecond or two. */
const ENTRIES_PER_TURN = 1024;

export class VerifyContext {
  readonly fileSystem: FileSystem;
  readonly location: string;
  readonly list: FindingList;
  readonly #ports: VerifyPorts;
  files = 0;
  bytes = 0;
  bytesTotal = 0;
  #done = 0;
  #entriesSinceTurn = 0;

  constructor(location: string, ports: VerifyPorts) {
    this.location = location;
    this.fileSystem = ports.fileSystem;
    this.list = new FindingList(ports.findingsMax);
    this.#ports = ports;
  }

  add(code: VerifyCode, file: string, offset: number | undefined, reason: string): void {
    this.list.add(code, file, offset, reason);
  }

  /** Notes what reading `file` failed with; throws on what is neither damage nor the disk's answer. */
  failed(error: unknown, file: string, code: VerifyCode = 'damaged'): void {
    if (error instanceof CorruptionError) this.add(code, file, error.offset, error.reason);
    else if (!(error instanceof IoError)) throw error;
    else if (error.systemCode === 'ENOENT') this.add('missing', file, undefined, 'it is missing');
    else this.add('unreadable', file, undefined, `${error.operation} failed with ${error.systemCode}`);
  }

  /** Opens a file of the directory and counts it; `undefined`, and a finding, if it cannot be opened. */
  async open(name: string): Promise<{ readonly file: ReadableFile; readonly size: number } | undefined> {
    let file: ReadableFile | undefined;
    try {
      file = await this.fileSystem.openForRead(pathOf(this.location, name));
      const size = await file.size();
      this.files += 1;
      this.bytes += size;
      return { file, size };
    } catch (error) {
      await file?.close();
      this.failed(error, name);
      return undefined;
    }
  }

  /** So many bytes more are done; gives others a turn. */
  async advance(bytes: number): Promise<void> {
    this.#done += bytes;
    this.#ports.onProgress?.({ bytes: Math.min(this.#done, this.bytesTotal), bytesTotal: this.bytesTotal });
    await this.turn();
  }

  /** Everything is done, also what needed no reading. */
  finish(): void {
    if (this.#done < this.bytesTotal) this.#ports.onProgress?.({ bytes: this.bytesTotal, bytesTotal: this.bytesTotal });
  }

  /** So many entries more were looked at; gives others a turn now and then. */
  looked(entries: number): Promise<void> | undefined {
    this.#entriesSinceTurn += entries;
    return this.#entriesSinceTurn < ENTRIES_PER_TURN ? undefined : this.turn();
  }

  /** @throws AbortedError */
  async turn(): Promise<void> {
    this.#entriesSinceTurn = 0;
    await this.#ports.yieldTurn();
    const { signal } = this.#ports;
    if (signal?.aborted === true) throw new AbortedError('the check', { cause: signal.reason });
  }
}
