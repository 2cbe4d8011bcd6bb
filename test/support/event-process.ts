/**
 * Processes that produce events and handle them, one after the other on one directory, each killed in the middle of its
 * work; and what they told until then. The other side is test/crash/children.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const CHILDREN = join(import.meta.dirname, '..', 'crash', 'children');
/**
 * A process that says nothing for so long hangs. Not: one that has not come to its end by then. Beside a busy machine's other
 * work, a process of the lowest priority gets a hundredth of a core, and goes on.
 */
const SILENCE_MS_MAX = 180_000;
/** Parts of the runs: killed while they open; soon after; and those that close the store, perhaps too late. */
const KILLED_OPENING = 0.2;
const KILLED_EARLY = 0.25;
const CLOSING = 0.15;

/** An event, in words: its type and its amount. */
type EventText = string;

/** What all the runs on one directory told. */
export class Told {
  /** Batches, in the order in which they were begun; `true`: it may be repeated. */
  readonly begun: Map<number, boolean> = new Map<number, boolean>();
  /** Sequence numbers of the batches that were acknowledged. */
  readonly acknowledged: Map<number, number> = new Map<number, number>();
  /** What was delivered, by sequence number. */
  readonly delivered: Map<number, EventText> = new Map<number, EventText>();
  /** Deliveries, by who got them; more than there are events when some came again. */
  readonly deliveries: Map<string, number> = new Map<string, number>();
  readonly failures: string[] = [];
  /** Sequence number of the event that the last run ended with. */
  last: number | undefined;
  overtaken = 0;

  /** Takes one whole line. @returns its first word */
  take(line: string): string {
    const [word = '', first = '', second = '', ...rest] = line.split(' ');
    if (word === 'begun') this.begun.set(Number(first), second === 'again');
    else if (word === 'acknowledged') this.#acknowledge(Number(first), Number(second));
    else if (word === 'delivered') this.#deliver(first, Number(second), rest.join(' '));
    else if (word === 'last') this.last = Number(first);
    else if (word === 'overtaken') this.overtaken += 1;
    else if (word === 'failed') this.failures.push(line);
    return word;
  }

  /** Batches without an answer that may be repeated. */
  get unanswered(): readonly number[] {
    return [...this.begun].flatMap(([batch, isRepeatable]) =>
      isRepeatable && !this.acknowledged.has(batch) ? [batch] : [],
    );
  }

  get next(): number {
    return Math.max(-1, ...this.begun.keys()) + 1;
  }

  #acknowledge(batch: number, sequence: number): void {
    const before = this.acknowledged.get(batch);
    if (before !== undefined) this.failures.push(`batch ${batch} got two answers: ${before} and ${sequence}`);
    this.acknowledged.set(batch, sequence);
  }

  #deliver(to: string, sequence: number, event: EventText): void {
    const before = this.delivered.get(sequence);
    if (before !== undefined && before !== event) {
      this.failures.push(`sequence number ${sequence} was given twice: for ${before}, and for ${event} to ${to}`);
    }
    this.delivered.set(sequence, event);
    this.deliveries.set(to, (this.deliveries.get(to) ?? 0) + 1);
  }
}

/** What distinguishes a process that waits for ever from one that is not given its turn. */
function processorTimeOf(pid: number | undefined): string {
  try {
    // proc(5): after the name in brackets, fields 14 and 15 are user and system time, in hundredths of a second.
    const fields =
      readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
        .split(') ')[1]
        ?.split(' ') ?? [];
    return `${(Number(fields[11]) + Number(fields[12])) / 100} s of a processor`;
  } catch {
    return 'an unknown time of a processor';
  }
}

export interface EventProcessSettings {
  /** A file of test/crash/children. */
  readonly script: string;
  readonly directory: string;
  readonly random: () => number;
  /** What else it is told. */
  readonly given: object;
}

export class EventProcesses {
  readonly told: Told = new Told();
  readonly #settings: EventProcessSettings;
  /** Runs that were killed while they opened; while they worked; and that ended by themselves. */
  readonly counts: { opening: number; working: number; closed: number } = { opening: 0, working: 0, closed: 0 };

  constructor(settings: EventProcessSettings) {
    this.#settings = settings;
  }

  /** One run, that is killed at a random moment. */
  async runAndKill(): Promise<void> {
    const { random } = this.#settings;
    const way = random();
    if (way < KILLED_OPENING) await this.#run({ killAt: 'opening', afterMs: random() * 60 });
    else if (way < KILLED_OPENING + KILLED_EARLY) await this.#run({ killAt: 'open', afterMs: 5 + random() * 295 });
    else if (way < 1 - CLOSING) {
      // On a busy machine a fixed time may be over before there is any work to kill it at.
      await this.#run({ killAt: 'acknowledged', afterMs: 5 + random() * 295 });
    } else {
      const closeAfterMs = Math.floor(5 + random() * 200);
      await this.#run({ killAt: 'open', afterMs: closeAfterMs + random() * 80 }, { closeAfterMs });
    }
  }

  /** A run without new events, until everything is handled. */
  async drain(): Promise<void> {
    const closed = this.counts.closed;
    await this.#run(undefined, { isDraining: true });
    if (this.counts.closed === closed) this.told.failures.push('the last run ended before everything was handled');
  }

  async #run(kill: { killAt: string; afterMs: number } | undefined, more: object = {}): Promise<void> {
    const { script, directory, random, given } = this.#settings;
    const { told } = this;
    const settings = {
      ...given,
      ...more,
      seed: Math.floor(random() * 2 ** 31),
      retry: told.unanswered,
      next: told.next,
    };
    const child = spawn(process.execPath, [join(CHILDREN, script), directory, JSON.stringify(settings)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'close');
    let stage = '';
    let isDoomed = false;
    const hangs = (): void => {
      const begun = stage === '' ? '' : `, after it told: ${stage}`;
      told.failures.push(`a run hangs${begun}; last word: ${last}; it used ${processorTimeOf(child.pid)}`);
      child.kill('SIGKILL');
    };
    let last = 'none';
    let timer = setTimeout(hangs, SILENCE_MS_MAX);
    // What it said before its end is in the pipe still.
    for await (const line of createInterface({ input: child.stdout })) {
      if (!line.endsWith(';')) continue; // cut short by the kill
      const word = told.take(line.slice(0, -1));
      last = line;
      if (!isDoomed) timer.refresh();
      if (['opening', 'open', 'closed'].includes(word)) stage = word;
      if (told.failures.length > 0) child.kill('SIGKILL'); // it has failed, and need not go on
      if (word !== kill?.killAt || isDoomed) continue;
      isDoomed = true;
      clearTimeout(timer);
      timer = setTimeout(() => child.kill('SIGKILL'), kill.afterMs);
    }
    await ended;
    clearTimeout(timer);
    if (stage === 'closed') this.counts.closed += 1;
    else if (stage === 'open') this.counts.working += 1;
    else this.counts.opening += 1;
    if (stage !== 'closed' && child.signalCode !== 'SIGKILL') {
      told.failures.push(`a run ended by itself, ${String(child.exitCode)}, while ${stage}`);
    }
  }
}
