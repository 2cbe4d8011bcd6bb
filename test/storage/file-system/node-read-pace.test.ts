import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NodeFileSystem } from '../../../src/storage/file-system/node-file-system.ts';
import { ReadPace } from '../../../src/storage/file-system/node-read-pace.ts';

/** A clock that stands still until it is told to go on, and an event loop whose turns are called. */
class Turns {
  ms = 0;
  #waiting: (() => void)[] = [];

  now(): number {
    return this.ms;
  }

  afterTurn(work: () => void): void {
    this.#waiting.push(work);
  }

  turn(): void {
    const due = this.#waiting;
    this.#waiting = [];
    for (const work of due) work();
  }
}

const FAST_MS = 0.002;
const SLOW_MS = 0.1;

function paced(): { turns: Turns; pace: ReadPace; read: (ms: number) => boolean | Promise<void> } {
  const turns = new Turns();
  const pace = new ReadPace(turns);
  const read = (ms: number): boolean | Promise<void> => {
    const isQuick = pace.isQuick(4096);
    if (isQuick === true) {
      const start = pace.start();
      turns.ms += ms;
      pace.took(start, 4096);
    }
    return isQuick;
  };
  return { turns, pace, read };
}

/** How many reads go to the background before one is done on this thread. */
function inBackground(read: (ms: number) => boolean | Promise<void>, ms: number): number {
  for (let count = 0; ; count += 1) if (read(ms) !== false) return count;
}

describe('the pace of reads', () => {
  it('keeps fast reads on this thread, and large ones off it', () => {
    const { pace, read } = paced();
    for (let index = 0; index < 500; index += 1) expect(read(FAST_MS)).toBe(true);
    expect(pace.isQuick(65_536)).toBe(true);
    expect(pace.isQuick(65_537)).toBe(false);
  });

  it('sends reads to the background after two slow ones, twice as many each time, and no more than 8,192', () => {
    const { turns, read } = paced();
    const counts: number[] = [];
    void read(SLOW_MS);
    for (let round = 0; round < 12; round += 1) {
      expect(read(SLOW_MS)).toBe(true); // one is none
      turns.turn();
      counts.push(inBackground(read, SLOW_MS));
    }
    expect(counts).toEqual([16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 8192, 8192]);
  });

  it('comes back from the background although the first read is slow', () => {
    const { turns, read } = paced();
    void read(SLOW_MS);
    void read(SLOW_MS);
    expect(inBackground(read, SLOW_MS)).toBe(16);
    for (let index = 0; index < 100; index += 1) {
      expect(read(FAST_MS)).toBe(true);
      turns.turn();
    }
  });

  it('forgives after 64 fast reads in a row, and not before', () => {
    const { turns, read } = paced();
    const slowThenFast = (fast: number): number => {
      turns.turn();
      for (let index = 0; index < fast; index += 1) expect(read(FAST_MS)).toBe(true);
      expect(read(SLOW_MS)).toBe(true);
      expect(read(SLOW_MS)).toBe(true);
      return inBackground(read, FAST_MS); // which is one fast read
    };
    expect([slowThenFast(0), slowThenFast(62), slowThenFast(63), slowThenFast(63)]).toEqual([16, 32, 16, 16]);
  });

  it('forgets one slow read after 16 fast ones', () => {
    const { turns, read } = paced();
    for (let round = 0; round < 50; round += 1) {
      expect(read(SLOW_MS)).toBe(true);
      for (let index = 0; index < 16; index += 1) expect(read(FAST_MS)).toBe(true);
      turns.turn();
    }
    expect(read(SLOW_MS)).toBe(true);
    for (let index = 0; index < 15; index += 1) expect(read(FAST_MS)).toBe(true);
    expect(read(SLOW_MS)).toBe(true);
    expect(inBackground(read, FAST_MS)).toBe(16);
  });

  it('lets others have their turn after 4 ms of reads, and goes on in the next one', async () => {
    const { turns, read } = paced();
    let reads = 0;
    let turn: boolean | Promise<void> = true;
    for (; turn === true; reads += 1) turn = read(0.02);
    expect(reads).toBe(201);
    expect(read(0.02)).toBe(turn); // all of them wait for the same
    let isResolved = false;
    const waiting = (turn as Promise<void>).then(() => {
      isResolved = true;
    });
    await Promise.resolve();
    expect(isResolved).toBe(false);
    turns.turn();
    await waiting;
    expect(read(0.02)).toBe(true);
  });

  it('counts the time of each turn by itself', () => {
    const { turns, read } = paced();
    for (let index = 0; index < 1000; index += 1) {
      expect(read(0.02)).toBe(true);
      if (index % 150 === 149) turns.turn();
    }
  });

  it('is asked only where the file system has a clock', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'alluvium-pace-'));
    try {
      const path = join(directory, 'file');
      const file = await new NodeFileSystem().create(path);
      await file.append(new Uint8Array(100).fill(7));
      await file.close();
      const without = await new NodeFileSystem().openForRead(path);
      expect(without.isQuick?.(100)).toBe(false);
      const turns = new Turns();
      const reader = await new NodeFileSystem(turns).openForRead(path);
      expect(reader.isQuick?.(100)).toBe(true);
      const into = new Uint8Array(100);
      expect(reader.readNow?.(into, 0)).toBe(100);
      expect(into[99]).toBe(7);
      await Promise.all([without.close(), reader.close()]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
