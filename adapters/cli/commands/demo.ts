/**
 * The demonstration: a process of its own writes, and is killed in the middle. Then the store is opened again, and must have
 * everything that was acknowledged, in the entries as well as in the changes.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Command, Context } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { Failure } from '../failure.ts';
import type { CommandStore } from '../open-store.ts';
import { painter } from '../paint.ts';
import { countText, durationText } from '../units.ts';
import { withStore } from '../with-store.ts';

const WRITES = 5000;

export const demo: Command = {
  name: 'demo',
  summary: 'See a writer killed, and nothing lost',
  positionals: [],
  options: {
    writes: { kind: 'number', short: 'n', help: `Acknowledged writes before the kill (default ${WRITES})` },
    keep: { kind: 'flag', help: 'Keep the database, to look into it' },
  },
  examples: ['demo', 'demo --writes 50000 --keep'],
  standsAlone: true,
  async run(context) {
    const { flags, out, talk } = context;
    const writes = flags.number('writes', 1, 10_000_000) ?? WRITES;
    const directory = await mkdtemp(join(tmpdir(), 'alluvium-demo-'));
    try {
      const acknowledged = await writeAndKill(context, directory, writes);
      const startMs = performance.now();
      const result = await withStore({ ...context, positionals: [directory] }, 'write', (store) =>
        check(context, store, acknowledged, performance.now() - startMs),
      );
      if (flags.has('json')) await out.json(result);
      return EXIT.done;
    } finally {
      if (flags.has('keep')) talk.note(`It is in ${directory}: try alluvium scan ${directory} --limit 3`);
      else await rm(directory, { recursive: true, force: true });
    }
  },
};

/** @returns the numbers whose acknowledgement had left the process when SIGKILL came */
async function writeAndKill(
  { talk, signal, flags, out }: Context,
  directory: string,
  writes: number,
): Promise<Set<number>> {
  if (!flags.has('json')) await out.line(`1  a process writes entries, each synced before it is acknowledged ...`);
  await out.flush();
  const writer = fileURLToPath(new URL('../demo-writer.js', import.meta.url));
  const child = spawn(process.execPath, [writer, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', stop, { once: true });
  const progress = talk.progress({ label: 'writing', unit: 'entries', total: writes });
  const acknowledged = new Set<number>();
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      if (/^\d+$/.test(line)) acknowledged.add(Number(line));
      progress.at(acknowledged.size);
      if (acknowledged.size === writes) stop();
    }
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener('abort', stop);
    progress.end();
    stop();
  }
  if (acknowledged.size < writes) throw new Failure('the writing process ended before it was killed.');
  if (!flags.has('json')) {
    await out.line(`2  SIGKILL, with ${countText(acknowledged.size)} acknowledgements out`);
  }
  return acknowledged;
}

async function check(
  { flags, out, signal }: Context,
  store: CommandStore,
  acknowledged: ReadonlySet<number>,
  recoveryMs: number,
): Promise<object> {
  const found = new Set<number>();
  const take = (key: Uint8Array): void => void found.add(Number(new TextDecoder().decode(key).slice('event:'.length)));
  for await (const page of store.scan({ values: false, signal }).pages()) page.forEach(take);
  const lost = [...acknowledged].filter((number) => !found.has(number)).length;
  const changed = new Set<number>();
  for await (const { key } of store.changes({ from: 'start', signal })) {
    changed.add(Number(new TextDecoder().decode(key).slice('event:'.length)));
    if (changed.size === found.size) break;
  }
  const isHistoryWhole = [...changed].every((number) => found.has(number));
  if (!flags.has('json')) {
    const paint = painter(out.hasColours);
    const ok = paint('green', 'ok');
    await out.line(`3  opened again in ${durationText(recoveryMs)}`);
    await out.line(
      `${lost === 0 ? ok : paint('red', 'LOST')}  ${countText(found.size)} entries are there, ${lost} acknowledged ones missing`,
    );
    await out.line(
      `${isHistoryWhole ? ok : paint('red', 'WRONG')}  the history has a change for each of them, and no other`,
    );
  }
  if (lost > 0 || !isHistoryWhole) throw new Failure('what was acknowledged is not there. Please report it.');
  return { acknowledged: acknowledged.size, found: found.size, lost, isHistoryWhole, recoveryMs };
}
