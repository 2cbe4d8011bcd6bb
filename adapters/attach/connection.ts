/** The attached side of one connection: a hello, then messages both ways, until it breaks. Knows nothing of what they mean. */
import { connect, type Socket } from 'node:net';
import { AttachProtocolError } from './attach-error.ts';
import { encodeMessage, FrameReader, HELLO_BYTES_MAX, MESSAGE_BYTES_MAX } from './frames.ts';
import { packageVersion } from './package-version.ts';
import { type Answer, type OwnerHello, PROTOCOL, PROTOCOL_VERSION, readAnswer, readOwnerHello } from './protocol.ts';

export interface ConnectionEvents {
  readonly onAnswer: (answer: Answer) => void;
  /** There is room for more. */
  readonly onDrain: () => void;
  /** Once; nothing comes after it. */
  readonly onLost: (reason: unknown) => void;
}

export class Connection {
  readonly #socket: Socket;
  readonly #reader = new FrameReader(HELLO_BYTES_MAX);
  #events: ConnectionEvents | undefined;
  #greet: ((hello: OwnerHello) => void) | undefined;
  #refuse: ((error: unknown) => void) | undefined;
  #failure: unknown;
  #isOver = false;
  #hello: OwnerHello | undefined;

  private constructor(path: string) {
    this.#socket = connect({ path });
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#socket.on('drain', () => this.#events?.onDrain());
    this.#socket.on('error', (error) => (this.#failure ??= error));
    this.#socket.on('close', () => this.#over());
  }

  /**
   * Connects, and waits for the owner's hello.
   *
   * @returns rejects with the system's error, AttachVersionError, AttachProtocolError, or what the owner refused with
   */
  static async open(path: string, patienceMs: number): Promise<Connection> {
    const connection = new Connection(path);
    const timer = setTimeout(() => connection.#fail(new AttachProtocolError('no hello came in time.')), patienceMs);
    try {
      connection.#hello = await new Promise<OwnerHello>((resolve, reject) => {
        connection.#greet = resolve;
        connection.#refuse = reject;
        connection.#write({ protocol: PROTOCOL, version: PROTOCOL_VERSION, package: packageVersion() });
      });
      return connection;
    } finally {
      clearTimeout(timer);
      connection.#greet = undefined;
      connection.#refuse = undefined;
    }
  }

  /** Who is at the other end. */
  get hello(): OwnerHello {
    if (this.#hello === undefined) throw new AttachProtocolError('there was no hello.');
    return this.#hello;
  }

  /** From now on answers are heard of. If it has broken since the hello, that is told at once. */
  start(events: ConnectionEvents): void {
    this.#events = events;
    if (this.#isOver) {
      events.onLost(this.#failure);
      return;
    }
    this.#read(Buffer.alloc(0)); // what came together with the hello
    this.#socket.resume();
  }

  /** Whether a message would not have to wait in memory. */
  get hasRoom(): boolean {
    return !this.#socket.writableNeedDrain;
  }

  /** @throws what the message cannot be written for */
  send(message: object): void {
    this.#write(message);
  }

  /** Whether waiting for an answer keeps the process alive. */
  keepAlive(isKept: boolean): void {
    if (isKept) this.#socket.ref();
    else this.#socket.unref();
  }

  /** Ends it from this side: nobody is told. */
  end(): void {
    this.#events = undefined;
    this.#socket.destroy();
  }

  #write(message: object): void {
    for (const frame of encodeMessage(message)) this.#socket.write(frame);
  }

  #read(chunk: Buffer): void {
    try {
      this.#reader.push(chunk);
      if (this.#greet !== undefined) {
        const first = this.#reader.next();
        if (first === undefined) return;
        this.#socket.pause(); // until somebody listens to answers
        this.#greet(readOwnerHello(first.message));
        this.#reader.messageBytesMax = MESSAGE_BYTES_MAX;
        return;
      }
      for (let next = this.#reader.next(); next !== undefined; next = this.#reader.next()) {
        const events = this.#events;
        if (events === undefined) return;
        events.onAnswer(readAnswer(next.message));
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#refuse?.(error);
    this.#socket.destroy();
    this.#over();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#refuse?.(this.#failure ?? new AttachProtocolError('it ended before its hello.'));
    this.#events?.onLost(this.#failure);
    this.#events = undefined;
  }
}
