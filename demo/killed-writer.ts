/** The parent's side of the crash: starts the writer, listens to its acknowledgements, and kills it in the middle. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** One line of the writer: this record of the load was acknowledged with this sequence number. */
export interface Acknowledgement {
  readonly number: number;
  readonly sequence: number;
}

/** A whole line ends with a semicolon: a line that the kill cut short must not pass for a shorter number. */
const WHOLE_LINE = /^(?<number>\d+) (?<sequence>\d+);$/;

/** Reads one line of the writer; `undefined` if it is not whole. */
export function parseAcknowledgement(line: string): Acknowledgement | undefined {
  const groups = WHOLE_LINE.exec(line)?.groups;
  return groups && { number: Number(groups['number']), sequence: Number(groups['sequence']) };
}

export interface KilledWriterSettings {
  readonly directory: string;
  /** Flights that the writer is given. */
  readonly recordsMax: number;
  /** Acknowledgements after which it is killed. */
  readonly killAfter: number;
  readonly onAcknowledgement: (acknowledgement: Acknowledgement) => void;
}

/** Gives every acknowledgement that the writer got out before SIGKILL ended it, in order. */
export async function runKilledWriter({
  directory,
  recordsMax,
  killAfter,
  onAcknowledgement,
}: KilledWriterSettings): Promise<readonly Acknowledgement[]> {
  const script = fileURLToPath(new URL('writer.js', import.meta.url));
  const writer = spawn(process.execPath, [script, directory, String(recordsMax)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(writer, 'close');

  const acknowledgements: Acknowledgement[] = [];
  for await (const line of createInterface({ input: writer.stdout })) {
    const acknowledgement = parseAcknowledgement(line);
    if (acknowledgement === undefined) continue;
    acknowledgements.push(acknowledgement);
    onAcknowledgement(acknowledgement);
    if (acknowledgements.length === killAfter) writer.kill('SIGKILL');
  }

  await ended;
  if (writer.signalCode !== 'SIGKILL') {
    throw new Error(`the writer ended by itself (code ${String(writer.exitCode)}) before it could be killed`);
  }
  return acknowledgements;
}
