/**
 * Where data goes: stdout, or a file. Lines are gathered into chunks, and a chunk waits until the one before it has been
 * taken: a slow reader slows the command, and memory holds one chunk.
 *
 * A reader that goes away (`| head -1`) is no error: the rest is not written, and the command is told to end.
 */
import { escapeForTerminal, escapeJson } from './escape.ts';

/** Characters gathered before they are written. */
const CHUNK_LENGTH = 64 * 1024;

interface Sink extends NodeJS.WritableStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export class Output {
  readonly #stream: Sink;
  readonly isTerminal: boolean;
  readonly hasColours: boolean;
  readonly columns: number;
  #gathered = '';
  #isClosed = false;
  #failure: Error | undefined;

  /** @param onClosed - called once, when the reader has gone away */
  constructor(stream: Sink, onClosed: () => void = () => undefined) {
    this.#stream = stream;
    this.isTerminal = stream.isTTY === true;
    this.hasColours = this.isTerminal && wantsColours();
    this.columns = stream.columns ?? 80;
    stream.on('error', (error: NodeJS.ErrnoException) => {
      const isReaderGone = error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED';
      if (!isReaderGone) this.#failure ??= error;
      if (this.#isClosed) return;
      this.#isClosed = true;
      onClosed();
    });
  }

  /** Whether nobody takes anything any more. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** One line of text. @returns what to wait for before the next one, if there is anything */
  line(text: string): Promise<void> | undefined {
    this.#gathered += this.isTerminal ? `${escapeForTerminal(text)}\n` : `${text}\n`;
    return this.#gathered.length < CHUNK_LENGTH ? undefined : this.flush();
  }

  /** One value as a line of NDJSON. */
  json(value: unknown): Promise<void> | undefined {
    return this.line(escapeJson(JSON.stringify(value)));
  }

  /** Text that ends where it ends. */
  text(text: string): Promise<void> | undefined {
    this.#gathered += this.isTerminal ? escapeForTerminal(text) : text;
    return this.#gathered.length < CHUNK_LENGTH ? undefined : this.flush();
  }

  /** Sequences that move a terminal's cursor: never with data in them. */
  control(sequence: string): void {
    if (this.isTerminal) this.#gathered += sequence;
  }

  /** Bytes as they are. Not for terminals. */
  async bytes(bytes: Uint8Array): Promise<void> {
    await this.flush();
    await this.#write(bytes);
  }

  /** Resolves when what was gathered has been taken. @returns rejects with what the system refused a write with */
  async flush(): Promise<void> {
    const chunk = this.#gathered;
    this.#gathered = '';
    if (chunk !== '') await this.#write(chunk);
    if (this.#failure !== undefined) throw this.#failure;
  }

  #write(chunk: string | Uint8Array): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    // The callback comes when the chunk is out, or with the error that the listener above has heard of as well.
    return new Promise((resolve) => void this.#stream.write(chunk, () => resolve()));
  }
}

/** As https://no-color.org has it: any value but the empty one. */
export function wantsColours(): boolean {
  const { NO_COLOR: noColour, TERM: terminal } = process.env;
  return (noColour === undefined || noColour === '') && terminal !== 'dumb';
}
