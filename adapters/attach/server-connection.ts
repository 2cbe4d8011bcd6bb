/**
 * One process that is attached, as the owner sees it.
 *
 * Requests are begun in the order in which they come. When too many are under way, or too much waits to be taken by the other
 * side, the socket is not read: so whoever asks too much waits, and nobody else. Answers that come all the same, as those of
 * many streams to one batch, are written down when there is room for their bytes; until then one change is held once for all
 * of them. What is malformed ends this connection, and a connection that ends takes with it all that it held.
 */
import type { Socket } from 'node:net';
import type { Cursor, Store } from 'alluvium';
import { AttachVersionError } from './attach-error.ts';
import { Desk } from './desk.ts';
import { encodeMessage, FrameReader, HELLO_BYTES_MAX, MESSAGE_BYTES_MAX } from './frames.ts';
import { checkHello, type OwnerHello, readAsked, type Request } from './protocol.ts';
import { writeError } from './wire-error.ts';

/** Requests of one connection under way at once. Pulls of streams, which may wait for ever, are not among them. */
const REQUESTS_MAX = 256;
/** Bytes of requests of one connection under way at once; one larger request may be under way alone. */
const REQUEST_BYTES_MAX: number = 32 * 1024 * 1024;
/** Bytes of answers that the other side has not taken, beyond which it may ask nothing more. */
const ANSWER_BYTES_MAX: number = 8 * 1024 * 1024;
/** For the first message. */
const HELLO_MS = 10_000;

export class ServerConnection {
  readonly #socket: Socket;
  readonly #desk: Desk;
  readonly #hello: () => OwnerHello;
  readonly #reader = new FrameReader(HELLO_BYTES_MAX);
  /** What takes each request under way back. */
  readonly #running = new Map<number, (() => void) | undefined>();
  /** Answers there was no room for, in order. */
  readonly #held: object[] = [];
  #requests = 0;
  #requestBytes = 0;
  #isGreeted = false;
  #isEnded = false;
  #isReading = false;
  readonly #impatience: NodeJS.Timeout;

  constructor(socket: Socket, store: Store, cursor: Cursor, hello: () => OwnerHello) {
    this.#socket = socket;
    this.#desk = new Desk(store, cursor);
    this.#hello = hello;
    this.#impatience = setTimeout(() => this.#end(), HELLO_MS);
    this.#impatience.unref();
    socket.on('data', (chunk: Buffer) => {
      this.#reader.push(chunk);
      this.#read();
    });
    socket.on('drain', () => {
      this.#sendHeld();
      this.#read();
    });
    socket.on('error', () => undefined); // 'close' follows
    socket.on('close', () => this.#end());
  }

  /** The last word. Nothing is answered after it, so that whoever asked asks the next owner. */
  goodbye(): void {
    if (this.#isEnded) return;
    this.#letGo(); // what was held up is asked again, too
    if (this.#isGreeted) this.#send({ goodbye: true });
    this.#socket.end();
    this.#socket.resume(); // what still comes is nobody's; it must be read for the end to be seen
    const late = setTimeout(() => this.#socket.destroy(), 100);
    this.#socket.once('close', () => clearTimeout(late));
  }

  get #isFull(): boolean {
    return this.#requests >= REQUESTS_MAX || this.#requestBytes >= REQUEST_BYTES_MAX || this.#hasNoRoom;
  }

  get #hasNoRoom(): boolean {
    return this.#held.length > 0 || this.#socket.writableLength >= ANSWER_BYTES_MAX;
  }

  /** Begins what has come, as far as there is room for it. */
  #read(): void {
    if (this.#isReading) return; // an answer that comes at once is no reason to begin anew
    this.#isReading = true;
    try {
      while (!this.#isEnded && !this.#isFull) {
        const received = this.#reader.next();
        if (received === undefined) break;
        this.#take(received.message, received.bytes);
      }
    } catch (error) {
      this.#refuse(error);
    } finally {
      this.#isReading = false;
    }
    if (this.#isEnded) return;
    if (this.#isFull) this.#socket.pause();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  #take(message: unknown, bytes: number): void {
    if (!this.#isGreeted) {
      checkHello(message);
      this.#isGreeted = true;
      this.#reader.messageBytesMax = MESSAGE_BYTES_MAX;
      clearTimeout(this.#impatience);
      this.#send(this.#hello());
      return;
    }
    const asked = readAsked(message);
    if ('cancel' in asked) {
      this.#running.get(asked.cancel)?.();
      return;
    }
    this.#begin(asked.id, asked.request, bytes);
  }

  #begin(id: number, request: Request, bytes: number): void {
    const isCounted = request.op !== 'pull';
    if (isCounted) {
      this.#requests += 1;
      this.#requestBytes += bytes;
    }
    const state = { isDone: false };
    const end = (answer?: object): void => {
      if (state.isDone) return;
      state.isDone = true;
      this.#running.delete(id);
      if (isCounted) {
        this.#requests -= 1;
        this.#requestBytes -= bytes;
      }
      if (answer !== undefined && !this.#isEnded) this.#answer(answer);
      this.#read();
    };
    const cancel = this.#desk.answer(request, {
      succeed: (value) => end({ id, value }),
      fail: (error) => end({ id, error: writeError(error) }),
    });
    if (state.isDone || cancel === undefined) return;
    this.#running.set(id, () => {
      cancel();
      end();
    });
  }

  #answer(answer: object): void {
    if (this.#hasNoRoom) this.#held.push(answer);
    else this.#send(answer);
  }

  #sendHeld(): void {
    let sent = 0;
    while (sent < this.#held.length && this.#socket.writableLength < ANSWER_BYTES_MAX) {
      this.#send(this.#held[sent] as object);
      sent += 1;
    }
    this.#held.splice(0, sent);
  }

  #send(message: object): void {
    let frames: Uint8Array[];
    try {
      frames = encodeMessage(message);
    } catch (error) {
      // An answer that cannot be written, for its length, is a failure of that request alone.
      if (!('id' in message) || 'error' in message) throw error;
      frames = encodeMessage({ id: message.id, error: writeError(error) });
    }
    for (const frame of frames) this.#socket.write(frame);
  }

  /** Tells why, as far as the other side can take it, and ends. */
  #refuse(error: unknown): void {
    const { package: name, protocol, version } = this.#hello();
    const refusal = error instanceof AttachVersionError ? undefined : writeError(error);
    // Whoever speaks another version finds out from our version which one.
    if (!this.#isGreeted) this.#send({ protocol, version, package: name, refusal });
    this.#letGo();
    this.#socket.destroySoon();
  }

  #end(): void {
    this.#letGo();
    this.#socket.destroy();
  }

  #letGo(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearTimeout(this.#impatience);
    for (const cancel of [...this.#running.values()]) cancel?.();
    this.#running.clear();
    this.#held.length = 0;
    this.#desk.close();
  }
}
