/**
 * Whether a small read is better done on this thread, or in the background.
 *
 * A block that is in the system's page cache is there in 2 microseconds; to ask the thread pool for it costs this thread
 * alone 15. A block that must come from a disk would stop the event loop for as long as the disk takes. Nobody tells us
 * beforehand which of the two it will be (`RWF_NOWAIT` is not within Node's reach), so the reads before are asked:
 *
 * - As long as reads on this thread are fast, they are done there; but for no longer than a slice of time in one turn of
 *   the event loop. Then the others wait for the next turn.
 * - One slow read may be bad luck: another process had the processor. After a second one among the next 16, the next 16 go
 *   to the background, and then this thread is tried again. Each time two are slow again, twice as many go, up to 8,192: on a
 *   disk that takes 10 ms, that is two late turns in as many reads. (One was tried at first, and what had been cold once was read in
 *   the background for minutes.)
 */

/** Milliseconds. No page cache takes as long, and no disk is as fast. */
const SLOW_MS = 0.03;
const BACKGROUND_READS_MIN = 16;
const BACKGROUND_READS_MAX = 8192;
/** A slow read is remembered for so many fast ones. */
const FAST_READS_TO_FORGET = 16;
/** So many fast reads in a row show that the disk is not needed any more. */
const FAST_READS_TO_FORGIVE = 64;
/** Milliseconds of reads on this thread in one turn. */
const SLICE_MS = 4;
/** Larger reads take long in any case. */
const READ_BYTES_MAX = 64 * 1024;

/** What reads are timed with. */
export interface ReadClock {
  /** Milliseconds from any moment; never goes back. */
  now(): number;
  /** Calls back in the next turn of the event loop. */
  afterTurn(work: () => void): void;
}

/** For all files of one file system. */
export class ReadPace {
  readonly #clock: ReadClock;
  #backgroundReadsLeft = 0;
  #backgroundReads = BACKGROUND_READS_MIN;
  #fastReads = 0;
  /** Fast reads until a slow one is forgotten. */
  #suspicion = 0;
  /** When the first read of this turn began; -1: there was none. */
  #turnStart = -1;
  #lastEnd = 0;
  #nextTurn: Promise<void> | undefined;

  constructor(clock: ReadClock) {
    this.#clock = clock;
  }

  /** Whether the next read, of so many bytes, is one for this thread; a promise: ask again then. */
  isQuick(bytes: number): boolean | Promise<void> {
    if (bytes > READ_BYTES_MAX) return false;
    if (this.#backgroundReadsLeft > 0) {
      this.#backgroundReadsLeft -= 1;
      this.#suspicion = 0;
      return false;
    }
    if (this.#nextTurn !== undefined) return this.#nextTurn;
    if (this.#turnStart < 0) {
      this.#turnStart = this.#clock.now();
      this.#lastEnd = this.#turnStart;
      this.#clock.afterTurn(() => {
        this.#turnStart = -1;
      });
      return true;
    }
    if (this.#lastEnd - this.#turnStart < SLICE_MS) return true;
    this.#nextTurn = new Promise((resolve) => {
      this.#clock.afterTurn(() => {
        this.#nextTurn = undefined;
        this.#turnStart = -1;
        resolve();
      });
    });
    return this.#nextTurn;
  }

  /** Before a read on this thread. @returns for {@link took} */
  start(): number {
    return this.#clock.now();
  }

  /** After it. */
  took(start: number, bytes: number): void {
    this.#lastEnd = this.#clock.now();
    if (this.#lastEnd - start <= SLOW_MS) this.#wasFast();
    else if (bytes <= READ_BYTES_MAX) this.#wasSlow();
  }

  #wasSlow(): void {
    const isSecond = this.#suspicion > 0;
    this.#suspicion = FAST_READS_TO_FORGET;
    if (!isSecond) return;
    this.#backgroundReadsLeft = this.#backgroundReads;
    this.#backgroundReads = Math.min(2 * this.#backgroundReads, BACKGROUND_READS_MAX);
    this.#fastReads = 0;
  }

  #wasFast(): void {
    if (this.#suspicion > 0) this.#suspicion -= 1;
    if (this.#fastReads === FAST_READS_TO_FORGIVE) return;
    this.#fastReads += 1;
    if (this.#fastReads === FAST_READS_TO_FORGIVE) this.#backgroundReads = BACKGROUND_READS_MIN;
  }
}
