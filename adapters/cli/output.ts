/**
 * Where data goes: stdout, or a file. Lines are gathered into chunks, and a chunk waits until the one before it has been
 * taken: a slow reader slows the command, and memory holds one chunk.
 *
 * A reader that goes away (`| head -1`) is no error: the rest is not written, and the command is told to end.
 */
import { escapeForTerminal, escapeJson } from './escape.ts';
import { codeOf } from './failure.ts';

/** Characters gathered before they are written. */
const CHUNK_LENGTH = 64 * 1024;

/** What takes data: stdout, or a file. */
interface Sink extends NodeJS.WritableStream {
  readonly isTTY?: boolean | undefined;
}

export class Output {
  readonly #stream: Sink;
  readonly isTerminal: boolean;
  readonly hasColours: boolean;
  readonly #onClosed: () => void;
  #gathered = '';
  #isClosed = false;
  #failure: Error | undefined;

  /** @param onClosed - called once, when the reader has gone away */
  constructor(stream: Sink, onClosed: () => void = () => undefined) {
    this.#stream = stream;
    this.isTerminal = stream.isTTY === true;
    this.hasColours = this.isTerminal && wantsColours();
    this.#onClosed = onClosed;
    stream.on('error', (error: Error) => this.#fail(error));
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
    return new Promise((resolve) => {
      // The callback comes when the chunk is out, or with an error: before the stream tells its listeners of it.
      this.#stream.write(chunk, (error) => {
        if (error instanceof Error) this.#fail(error);
        resolve();
      });
    });
  }

  #fail(error: Error): void {
    if (this.#isClosed) return;
    const code = codeOf(error);
    if (code !== 'EPIPE' && code !== 'ERR_STREAM_DESTROYED') this.#failure = error;
    this.#isClosed = true;
    if (this.#failure === undefined) this.#onClosed();
  }
}

/** As https://no-color.org has it: any value but the empty one. */
export function wantsColours(): boolean {
  const { NO_COLOR: noColour, TERM: terminal } = process.env;
  return (noColour === undefined || noColour === '') && terminal !== 'dumb';
}
