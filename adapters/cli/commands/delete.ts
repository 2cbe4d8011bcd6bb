import type { KeyRange, WriteOperation } from 'alluvium';
import { BatchWriter } from '../batch-writer.ts';
import type { Command, Context } from '../command.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { UsageError } from '../failure.ts';
import type { CommandStore } from '../open-store.ts';
import {
  codersOf,
  CONDITION_OPTION,
  DATABASE,
  DESTROY_OPTIONS,
  DURABILITY_OPTION,
  durabilityOf,
  ENCODING_OPTIONS,
  mayDestroy,
  RANGE_OPTIONS,
  rangeOf,
  readKey,
  sequenceConditionOf,
} from '../shared-options.ts';
import { countOf } from '../units.ts';
import { withStore } from '../with-store.ts';

export const remove: Command = {
  name: 'delete',
  summary: 'Make keys absent: those named, or a range',
  positionals: [DATABASE, { name: 'key', isOptional: true, isRepeated: true }],
  options: { ...RANGE_OPTIONS, ...ENCODING_OPTIONS, ...CONDITION_OPTION, ...DURABILITY_OPTION, ...DESTROY_OPTIONS },
  details: [
    'Named keys go in one atomic write; one that is absent already is no error. A range is counted and confirmed first, and',
    'goes in batches: what another writer adds meanwhile stays.',
  ],
  examples: [
    'delete ./data user:1',
    'delete ./data --prefix session: --dry-run',
    'delete ./data --prefix session: --yes',
  ],
  async run(context) {
    const { flags, positionals } = context;
    const { key: coder } = codersOf(flags);
    const range = rangeOf(flags, coder);
    const keys = positionals.slice(1).map((text) => readKey(coder, text));
    const isRange = Object.keys(range).length > 0;
    if (isRange === keys.length > 0)
      throw new UsageError('delete needs keys, or a range such as --prefix; one of both.');
    if (isRange && flags.has('if-sequence')) throw new UsageError('--if-sequence is about one key, not about a range.');
    if (keys.length > 1 && flags.has('if-sequence')) throw new UsageError('--if-sequence is about one key.');
    return withStore(
      context,
      flags.has('dry-run') ? 'read' : 'write',
      (store) => (isRange ? deleteRange(context, store, range) : deleteKeys(context, store, keys)),
      { worker: isRange ? 'auto' : 'off' },
    );
  },
};

async function deleteKeys(context: Context, store: CommandStore, keys: readonly Uint8Array[]): Promise<ExitCode> {
  const { flags, out, talk } = context;
  if (flags.has('dry-run')) {
    talk.note(`dry run: would delete ${countOf(keys.length, 'key')}.`);
    return EXIT.done;
  }
  const sequence = sequenceConditionOf(flags);
  const lines: WriteOperation[] = keys.map((key) => ({ type: 'delete', key }));
  for (const key of keys) if (sequence !== undefined) lines.unshift({ type: 'check', key, sequence });
  const commit = await store.write(lines, { durability: durabilityOf(flags) });
  if (flags.has('json')) await out.json(commit);
  else await out.line(String(commit.sequence));
  return EXIT.done;
}

async function deleteRange(context: Context, store: CommandStore, range: KeyRange): Promise<ExitCode> {
  const { flags, out, talk, signal } = context;
  const snapshot = store.snapshot(); // what was counted is what goes
  try {
    let found = 0;
    for await (const page of snapshot.scan({ ...range, values: false, signal }).pages()) found += page.length;
    if (found > 0 && !(await mayDestroy(context, `delete ${countOf(found, 'key')}`))) {
      if (flags.has('json')) await out.json({ found, deleted: 0 });
      return flags.has('dry-run') ? EXIT.done : EXIT.error;
    }
    const progress = talk.progress({ label: 'deleting', unit: 'entries', total: found });
    const writer = new BatchWriter(store, { durability: durabilityOf(flags), signal });
    try {
      for await (const page of snapshot.scan({ ...range, values: false, signal }).pages()) {
        for (const key of page) await writer.add({ type: 'delete', key });
        progress.at(writer.acknowledged);
      }
      await writer.finish();
    } finally {
      progress.end();
    }
    if (flags.has('json')) await out.json({ found, deleted: found });
    else await out.line(`${countOf(found, 'key')} deleted`);
    return EXIT.done;
  } finally {
    snapshot.close();
  }
}
