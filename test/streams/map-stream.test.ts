import { take, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/streams/clock.ts';
import { mapOperation, mapStream } from '../../src/streams/map-stream.ts';
import { Operation } from '../../src/streams/operation.ts';
import { type PageSource, pullOrWaitAsPull, Stream } from '../../src/streams/stream.ts';

const streamOf = <T>(open: () => PageSource<T>): Stream<T> => new Stream(open, systemClock);

class ListSource implements PageSource<number> {
  readonly #pages: readonly (readonly number[])[];
  pulls = 0;
  isClosed = false;

  constructor(pages: readonly (readonly number[])[]) {
    this.#pages = pages;
  }

  pull(): readonly number[] {
    const page = this.#pages[this.pulls];
    this.pulls += 1;
    return page ?? [];
  }

  close(): void {
    this.isClosed = true;
  }
}

function pagesOf(...pages: readonly (readonly number[])[]): { stream: Stream<number>; opened: ListSource[] } {
  const opened: ListSource[] = [];
  const stream = streamOf(() => {
    const source = new ListSource(pages);
    opened.push(source);
    return source;
  });
  return { stream, opened };
}

const toText = (value: number): string => {
  if (value < 0) throw new RangeError(`no text for ${value}`);
  return `#${value}`;
};

async function pagesUntilEnd<T>(stream: Stream<T>): Promise<unknown[]> {
  const pages: unknown[] = [];
  try {
    for await (const page of stream.pages()) pages.push(page);
  } catch (error) {
    pages.push((error as Error).message);
  }
  return pages;
}

describe('a mapped stream', () => {
  it('keeps the pages', async () => {
    const { stream, opened } = pagesOf([1, 2], [3]);
    expect(await pagesUntilEnd(mapStream(stream, toText))).toEqual([['#1', '#2'], ['#3']]);
    expect(opened[0]?.isClosed).toBe(true);
  });

  it('opens nothing before it is read, and once for each reader', async () => {
    const { stream, opened } = pagesOf([1]);
    const mapped = mapStream(stream, toText);
    expect(opened).toHaveLength(0);
    await pagesUntilEnd(mapped);
    await pagesUntilEnd(mapped);
    expect(opened).toHaveLength(2);
  });

  it('asks for a page when it is asked for one', async () => {
    const { stream, opened } = pagesOf([1, 2], [3], [4]);
    const iterator = mapStream(stream, toText)[Symbol.asyncIterator]();
    for (const [value, pulls] of [
      ['#1', 1],
      ['#2', 1],
      ['#3', 2],
    ] as const) {
      expect(await iterator.next()).toEqual({ value, done: false });
      expect(opened[0]?.pulls).toBe(pulls);
    }
    await iterator.return?.();
    expect(opened[0]?.isClosed).toBe(true);
  });

  it('gives synchronously what the one below gives so', () => {
    const valuesAtOnce = (): string[] => {
      const values: string[] = [];
      mapStream(pagesOf([1, 2], [3]).stream, toText).subscribe((value) => values.push(value));
      return [...values];
    };
    // On a machine that is busy the time slice may be over in between, and the rest comes a turn later; not every time.
    const attempts = Array.from({ length: 50 }, valuesAtOnce);
    expect(attempts).toContainEqual(['#1', '#2', '#3']);
  });

  it('waits without a promise, where the one below does, and can be waited for with one', async () => {
    const ready: (readonly number[])[] = [];
    let wakeUp = (): void => undefined;
    const source = {
      pullOrWait: (wake: () => void): readonly number[] | undefined => {
        wakeUp = wake;
        return ready.shift();
      },
      pull: (): readonly number[] | Promise<readonly number[]> => pullOrWaitAsPull(source),
      close: () => undefined,
    };
    const deliver = (...page: readonly number[]): void => {
      ready.push(page);
      wakeUp();
    };
    const mapped = mapStream(
      streamOf(() => source),
      toText,
    );
    const values: string[] = [];
    let failure: unknown;
    mapped.subscribe({ next: (value) => values.push(value), error: (error: unknown) => (failure = error) });
    expect(values).toEqual([]);
    deliver(1);
    expect(values).toEqual(['#1']);
    deliver(2, -3);
    expect(values).toEqual(['#1', '#2']);
    expect(failure).toMatchObject({ message: 'no text for -3' });

    const next = mapped[Symbol.asyncIterator]().next();
    await Promise.resolve();
    await Promise.resolve();
    deliver(4);
    expect(await next).toEqual({ value: '#4', done: false });
  });

  it('closes the source when the subscriber goes', async () => {
    const { stream, opened } = pagesOf([1, 2], [3]);
    const values = await new Promise((resolve, reject) => {
      mapStream(stream, toText).pipe(take(1), toArray()).subscribe({ next: resolve, error: reject });
    });
    expect(values).toEqual(['#1']);
    expect(opened[0]?.isClosed).toBe(true);
  });

  it('gives what is before a failure, then the failure, and closes the source', async () => {
    for (const [pages, outcome] of [
      [
        [[1, 2], [3, -4, 5], [6]],
        [['#1', '#2'], ['#3'], 'no text for -4'],
      ],
      [
        [[1], [-2, 3]],
        [['#1'], 'no text for -2'],
      ],
      [[[-1]], ['no text for -1']],
    ] as const) {
      const { stream, opened } = pagesOf(...pages);
      expect(await pagesUntilEnd(mapStream(stream, toText))).toEqual(outcome);
      expect(opened[0]?.isClosed).toBe(true);
    }
  });

  it('lets go of the source as soon as it has failed', async () => {
    const { stream, opened } = pagesOf([1, -2]);
    const iterator = mapStream(stream, toText)[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toBe('#1');
    expect(opened[0]?.isClosed).toBe(true);
    await expect(iterator.next()).rejects.toThrow('no text for -2');
  });

  it('leaves out, before a failure, what belongs together with it', async () => {
    const isTogether = (a: number, b: number): boolean => Math.abs(b) === Math.abs(a) + 1;
    for (const [pages, outcome] of [
      [[[10, 20, 21, -22, 23]], [['#10'], 'no text for -22']],
      [[[10, 20, -30, 31]], [['#10', '#20'], 'no text for -30']],
      [
        [[1], [20, 21, -22]],
        [['#1'], 'no text for -22'],
      ],
    ] as const) {
      expect(await pagesUntilEnd(mapStream(pagesOf(...pages).stream, toText, { isTogether }))).toEqual(outcome);
    }
  });

  it('passes on the failure of the stream below', async () => {
    const failing = streamOf<number>(() => {
      throw new Error('closed');
    });
    expect(() => mapStream(failing, toText)[Symbol.asyncIterator]()).toThrow('closed');
    const outcome = await new Promise((resolve) => {
      mapStream(failing, toText).subscribe({ error: resolve });
    });
    expect(outcome).toMatchObject({ message: 'closed' });
  });
});

describe('a mapped operation', () => {
  const operationOf = (value: number): Operation<number> =>
    new Operation((sink) => {
      sink.succeed(value);
      return undefined;
    });

  it('gives the other value, or fails with what was thrown or with what failed', async () => {
    expect(await mapOperation(operationOf(1), toText)).toBe('#1');
    await expect(mapOperation(operationOf(-1), toText)).rejects.toThrow('no text for -1');
    const failing = new Operation<number>((sink) => {
      sink.fail(new Error('closed'));
      return undefined;
    });
    await expect(mapOperation(failing, toText)).rejects.toThrow('closed');
  });

  it('is cold, and unsubscribing cancels what is below', () => {
    let runs = 0;
    let cancellations = 0;
    const waiting = new Operation<number>(() => {
      runs += 1;
      return () => void (cancellations += 1);
    });
    const mapped = mapOperation(waiting, toText);
    expect(runs).toBe(0);
    const subscription = mapped.subscribe();
    expect([runs, cancellations]).toEqual([1, 0]);
    subscription.unsubscribe();
    expect(cancellations).toBe(1);
  });
});
