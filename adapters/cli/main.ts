#!/usr/bin/env node
/**
 * `alluvium` on the command line. Ends in one of few ways: by itself, by an error, by Ctrl-C or SIGTERM, or because nobody
 * reads its output any more; each lets the command close its store, and each has its exit code.
 */
import { readFileSync } from 'node:fs';
import { COMMANDS } from './commands.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { describeError, exitCodeOf } from './failure.ts';
import { storeOpener } from './open-store.ts';
import { Output } from './output.ts';
import { runLine } from './run.ts';
import { Talk } from './talk.ts';

/** Why a command was ended from outside; it becomes the reason of its signal. */
class Ending extends Error {
  readonly exitCode: ExitCode;

  constructor(reason: string, exitCode: ExitCode) {
    super(reason);
    this.exitCode = exitCode;
  }
}

async function main(words: readonly string[]): Promise<ExitCode> {
  const { stdin: input, stdout, stderr } = process;
  const ending = new AbortController();
  let ended: Ending | undefined;
  const end = (reason: Ending): void => {
    if (ended !== undefined) return;
    ended = reason;
    ending.abort(reason);
  };
  // The second time, a person means it: what is not closed then is recovered at the next open.
  const interrupt = (reason: string, exitCode: ExitCode) => (): void => {
    if (ended !== undefined) process.exit(exitCode);
    end(new Ending(reason, exitCode));
  };
  process.on('SIGINT', interrupt('interrupted', EXIT.interrupted));
  process.on('SIGTERM', interrupt('terminated', EXIT.terminated));
  const out = new Output(stdout, () => end(new Ending('nobody reads the output', EXIT.done)));
  const talk = new Talk(stderr, input);
  const stoppedBy = (): Ending | undefined => ended;
  try {
    if (words[0] === '--version' || words[0] === '-V') {
      await out.line(`alluvium ${version()}, node ${process.version}`);
      await out.flush();
      return EXIT.done;
    }
    const open = storeOpener(talk);
    const code = await runLine(words, { commands: COMMANDS, out, talk, input, open, signal: ending.signal });
    await out.flush();
    return stoppedBy()?.exitCode ?? code;
  } catch (error) {
    await out.flush().catch(() => undefined);
    const reason = stoppedBy();
    if (reason !== undefined) return reason.exitCode;
    talk.error(describeError(error));
    return exitCodeOf(error);
  }
}

function version(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  const { version: found } = JSON.parse(text) as { readonly version?: unknown };
  return typeof found === 'string' ? found : 'unknown';
}

/** A store that nobody writes to keeps no process running; a command that waits for it has to. */
const running = setInterval(() => undefined, 2 ** 30);

void main(process.argv.slice(2)).then((code) => {
  clearInterval(running);
  // Stdin may have more, and a terminal's never ends: neither keeps a process that is done.
  process.exitCode = code;
  process.stdin.destroy();
});
