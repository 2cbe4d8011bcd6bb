// The command line as a user runs it: a process of the built program, with pipes or with a terminal.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';

const MAIN = join(import.meta.dirname, '../../dist/adapters/cli/main.js');

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly bytes: Buffer;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

export interface Started {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
  /** Resolves when stdout has this text. */
  readonly said: (text: string) => Promise<void>;
}

export function startAlluvium(words: readonly string[], options: RunOptions = {}): Started {
  return start(process.execPath, [MAIN, ...words], options);
}

/** @param options - without `input`, stdin is at its end */
export function alluvium(words: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { child, outcome } = startAlluvium(words, options);
  child.stdin?.end(options.input ?? '');
  return outcome;
}

/** `alluvium` stands for the program in the script. */
export function shell(script: string, options: RunOptions = {}): Promise<Outcome> {
  const prelude = `alluvium() { '${process.execPath}' '${MAIN}' "$@"; }\n`;
  const { child, outcome } = start('bash', ['-c', prelude + script], options);
  child.stdin?.end(options.input ?? '');
  return outcome;
}

function start(program: string, words: readonly string[], { cwd, env }: RunOptions): Started {
  const child = spawn(program, words, { cwd, env: { ...process.env, NO_COLOR: undefined, ...env } });
  child.stdin.on('error', () => undefined); // a program that ends early does not read it
  const out: Buffer[] = [];
  const talk: Buffer[] = [];
  let heard = (): void => undefined;
  child.stdout.on('data', (chunk: Buffer) => {
    out.push(chunk);
    heard();
  });
  child.stderr.on('data', (chunk: Buffer) => void talk.push(chunk));
  const text = (): string => Buffer.concat(out).toString();
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      const bytes = Buffer.concat(out);
      resolve({ code, bytes, stdout: bytes.toString(), stderr: Buffer.concat(talk).toString() });
    });
  });
  const said = (wanted: string): Promise<void> =>
    new Promise((resolve, reject) => {
      heard = () => {
        if (text().includes(wanted)) resolve();
      };
      heard();
      void outcome.then(({ stderr }) => reject(new Error(`it ended and never said ${wanted}: ${text()}${stderr}`)));
    });
  return { child, outcome, said };
}

/** What gives a program a terminal on this machine. */
const terminal = ((): 'script' | 'python3' | undefined => {
  if (/util-linux/.test(String(spawnSync('script', ['--version']).stdout))) return 'script';
  return spawnSync('python3', ['-c', 'import pty']).status === 0 ? 'python3' : undefined;
})();

/** Why tests on a terminal cannot run here; `undefined`: they can. */
export const noTerminal: string | undefined =
  terminal === undefined ? 'neither script of util-linux nor python3 is here to make a terminal' : undefined;

/** On a terminal: what it shows is `stdout`, whatever it was written to. */
export function startOnTerminal(words: readonly string[], options: RunOptions = {}): Started {
  const command = [process.execPath, MAIN, ...words];
  if (terminal === 'python3') {
    const program = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';
    return start('python3', ['-c', program, ...command], options);
  }
  const line = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  return start('script', ['-qec', line, '/dev/null'], options);
}

export function onTerminal(words: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return startOnTerminal(words, options).outcome;
}
