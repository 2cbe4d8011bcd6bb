/** All commands, in the order of the help: looking, writing, following, moving, tending, and the rest. */
import type { Command } from './command.ts';
import { attach } from './commands/attach.ts';
import { backup } from './commands/backup.ts';
import { bench } from './commands/bench.ts';
import { changes } from './commands/changes.ts';
import { compact } from './commands/compact.ts';
import { completion } from './commands/completion.ts';
import { consumers } from './commands/consumers.ts';
import { deadLetters } from './commands/dead-letters.ts';
import { remove } from './commands/delete.ts';
import { demo } from './commands/demo.ts';
import { exportEntries } from './commands/export.ts';
import { flush } from './commands/flush.ts';
import { get } from './commands/get.ts';
import { importEntries } from './commands/import.ts';
import { info } from './commands/info.ts';
import { levels } from './commands/levels.ts';
import { repair } from './commands/repair.ts';
import { repl } from './commands/repl.ts';
import { restore } from './commands/restore.ts';
import { scan } from './commands/scan.ts';
import { set } from './commands/set.ts';
import { stats } from './commands/stats.ts';
import { verify } from './commands/verify.ts';
import { watch } from './commands/watch.ts';

export const COMMANDS: readonly Command[] = [
  demo,
  info,
  get,
  set,
  remove,
  scan,
  watch,
  changes,
  importEntries,
  exportEntries,
  ...consumers,
  ...deadLetters,
  stats,
  levels,
  compact,
  flush,
  verify,
  repair,
  backup,
  restore,
  bench,
  attach,
  repl(() => COMMANDS),
  completion(() => COMMANDS),
];
