/** `dead-letters list | show | replay | drop`. */
import type { DeadLetter } from 'alluvium';
import type { Command, Context } from '../command.ts';
import { countLetters, type Desk, deskOf, type LetterCount, lettersText } from '../desk.ts';
import type { Coders } from '../encoding.ts';
import { escapeText } from '../escape.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { NotFoundError, UsageError } from '../failure.ts';
import { codersOf, DATABASE, DESTROY_OPTIONS, ENCODING_OPTIONS, mayDestroy } from '../shared-options.ts';
import { countOf } from '../units.ts';
import { withStore } from '../with-store.ts';

const NAME = { name: 'consumer' };
const ID = { name: 'id' };

function letterJson({ id, change, error, attempts, firstAtMs, lastAtMs }: DeadLetter, { key, value }: Coders): unknown {
  return {
    id,
    type: change.type,
    sequence: change.sequence,
    key: key.toJson(change.key),
    ...(change.type === 'set' ? { value: value.toJson(change.value) } : {}),
    error,
    attempts,
    firstAt: new Date(firstAtMs).toISOString(),
    lastAt: new Date(lastAtMs).toISOString(),
  };
}

const list: Command = {
  name: 'dead-letters list',
  summary: 'List the changes that a consumer could not handle',
  positionals: [DATABASE, NAME],
  options: { limit: { kind: 'number', short: 'n', help: 'No more than this many' }, ...ENCODING_OPTIONS },
  details: ['A line is id, number of attempts, set or delete, key, error.'],
  examples: ['dead-letters list ./data totals', 'dead-letters list ./data totals --json'],
  run: (context) =>
    withDesk(context, 'read', async ({ consumer }) => {
      const { flags, out, signal } = context;
      const coders = codersOf(flags);
      let left = flags.number('limit') ?? Infinity;
      for await (const letter of consumer.deadLetters({ signal })) {
        if (left <= 0 || out.isClosed) break;
        left -= 1;
        const { id, attempts, change, error } = letter;
        if (flags.has('json')) await out.json(letterJson(letter, coders));
        else
          await out.line(
            [id, attempts, change.type, coders.key.show(change.key), escapeText(error.message)].join('\t'),
          );
      }
      return EXIT.done;
    }),
};

const show: Command = {
  name: 'dead-letters show',
  summary: 'Show one dead letter: the change, and what went wrong',
  positionals: [DATABASE, NAME, ID],
  options: { ...ENCODING_OPTIONS },
  examples: ['dead-letters show ./data totals 0000000000002a'],
  run: (context) =>
    withDesk(context, 'read', async ({ consumer }) => {
      const { flags, positionals, out } = context;
      const coders = codersOf(flags);
      const id = positionals[2] ?? '';
      checkId(id);
      const letter = await consumer.deadLetter(id);
      if (letter === undefined) throw noLetter(id);
      if (flags.has('json')) await out.json(letterJson(letter, coders));
      else for (const line of letterLines(letter, coders)) await out.line(line);
      return EXIT.done;
    }),
};

function letterLines(
  { id, change, error, attempts, firstAtMs, lastAtMs }: DeadLetter,
  { key, value }: Coders,
): string[] {
  const code = error.code === undefined ? '' : ` (${escapeText(error.code)})`;
  return [
    `id        ${id}`,
    `change    ${change.type} at sequence ${change.sequence}, committed ${new Date(change.timeMs).toISOString()}`,
    `key       ${key.show(change.key)}`,
    ...(change.type === 'set' ? [`value     ${value.show(change.value)}`] : []),
    `error     ${escapeText(error.name)}${code}: ${escapeText(error.message)}`,
    `attempts  ${attempts}, from ${new Date(firstAtMs).toISOString()} to ${new Date(lastAtMs).toISOString()}`,
  ];
}

const ALL_OPTION = { all: { kind: 'flag', help: 'All of them' } } as const;

const replay: Command = {
  name: 'dead-letters replay',
  summary: 'Have one dead letter, or all, handled again by the workers that run next',
  positionals: [DATABASE, NAME, { ...ID, isOptional: true }],
  options: { ...ALL_OPTION },
  examples: ['dead-letters replay ./data totals 0000000000002a', 'dead-letters replay ./data totals --all'],
  run: (context) =>
    withDesk(context, 'write', async ({ consumer }) => {
      const id = oneOrAll(context);
      const count = await consumer.replay(id, { signal: context.signal });
      if (id !== undefined && count === 0) throw noLetter(id);
      if (context.flags.has('json')) await context.out.json({ replayed: count });
      else await context.out.line(`${countOf(count, 'dead letter')} will be handled again`);
      return EXIT.done;
    }),
};

const drop: Command = {
  name: 'dead-letters drop',
  summary: 'Forget one dead letter, or all',
  positionals: [DATABASE, NAME, { ...ID, isOptional: true }],
  options: { ...ALL_OPTION, ...DESTROY_OPTIONS },
  examples: ['dead-letters drop ./data totals 0000000000002a --yes', 'dead-letters drop ./data totals --all --dry-run'],
  run: (context) =>
    withDesk(context, 'write', async ({ consumer }) => {
      const { flags, out, signal } = context;
      const id = oneOrAll(context);
      const found = id === undefined ? await countLetters(consumer, signal) : await countOne(consumer, id);
      if (id !== undefined && found.count === 0) throw noLetter(id);
      if (found.count > 0 && !(await mayDestroy(context, `forget ${lettersText(found)}`))) {
        return flags.has('dry-run') ? EXIT.done : EXIT.error;
      }
      const dropped = found.count === 0 ? 0 : await consumer.dropDeadLetter(id, { signal });
      if (flags.has('json')) await out.json({ dropped });
      else await out.line(`${countOf(dropped, 'dead letter')} forgotten`);
      return EXIT.done;
    }),
};

async function countOne(consumer: Desk['consumer'], id: string): Promise<LetterCount> {
  return { count: (await consumer.deadLetter(id)) === undefined ? 0 : 1, isMore: false };
}

function oneOrAll({ positionals, flags }: Context): string | undefined {
  const id = positionals[2];
  if ((id === undefined) !== flags.has('all'))
    throw new UsageError('give the id of a dead letter, or --all; one of both.');
  if (id !== undefined) checkId(id);
  return id;
}

function checkId(id: string): void {
  if (!/^[0-9a-f]{14}$/.test(id))
    throw new UsageError(`${JSON.stringify(id)} is no id: 14 hexadecimal digits, as list shows them.`);
}

const noLetter = (id: string): NotFoundError => new NotFoundError(`there is no dead letter ${id}.`);

const withDesk = (
  context: Context,
  mode: 'read' | 'write',
  work: (desk: Desk) => Promise<ExitCode>,
): Promise<ExitCode> =>
  withStore(context, mode, async (store) => work(await deskOf(store, context.positionals[1] ?? '')));

export const deadLetters: readonly Command[] = [list, show, replay, drop];
