/** How long work goes on: a line on a terminal's stderr with rate and remaining time; nothing anywhere else. */
import { bytesText, countText, durationText } from './units.ts';

/** Between two drawings, in milliseconds. */
const PERIOD_MS = 100;
const BAR_LENGTH = 16;
const COLUMNS = 80;

export interface ProgressSettings {
  readonly label: string;
  /** What there is in all; absent if nobody knows. */
  readonly total?: number | undefined;
  readonly unit: 'bytes' | 'entries';
  /** Where the data itself is on the terminal, it shows how far the work is. */
  readonly isHidden?: boolean;
}

export class Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #settings: ProgressSettings;
  readonly #startMs = performance.now();
  readonly #isShown: boolean;
  readonly #columns: number;
  #drawnMs = 0;
  #isDrawn = false;
  #done = 0;
  #total: number | undefined;

  constructor(stream: NodeJS.WriteStream, settings: ProgressSettings) {
    this.#stream = stream;
    this.#settings = settings;
    this.#total = settings.total;
    this.#isShown = stream.isTTY && settings.isHidden !== true;
    this.#columns = stream.columns > 0 ? stream.columns : COLUMNS; // a terminal may not know its width
  }

  /** @param done - so far, of the total */
  at(done: number, total: number | undefined = this.#total): void {
    this.#done = done;
    this.#total = total;
    const now = performance.now();
    if (!this.#isShown || now - this.#drawnMs < PERIOD_MS) return;
    this.#drawnMs = now;
    this.#isDrawn = true;
    this.#stream.write(`\r\u001b[2K${this.#text(now).slice(0, this.#columns - 1)}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#isDrawn) this.#stream.write('\r\u001b[2K');
    this.#isDrawn = false;
  }

  #text(now: number): string {
    const { label, unit } = this.#settings;
    const show = unit === 'bytes' ? bytesText : countText;
    const elapsedMs = Math.max(1, now - this.#startMs);
    const rate = `${show((this.#done / elapsedMs) * 1000)}/s`;
    const total = this.#total;
    if (total === undefined || total === 0) return `${label}  ${show(this.#done)}  ${rate}`;
    const part = Math.min(1, this.#done / total);
    const bar = '█'.repeat(Math.round(part * BAR_LENGTH)).padEnd(BAR_LENGTH, '░');
    const left = part === 0 ? '' : `  ${durationText((elapsedMs / part) * (1 - part))} left`;
    return `${label}  ${bar} ${Math.floor(part * 100)} %  ${show(this.#done)} of ${show(total)}  ${rate}${left}`;
  }
}
