/** `consumers list | lag | seek | pause | resume | delete`. */
import type { ConsumerInfo } from 'alluvium';
import type { Command, Context } from '../command.ts';
import { consumerInfos, countLetters, type Desk, deskOf, lettersText } from '../desk.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { UsageError } from '../failure.ts';
import { placeOf } from '../place.ts';
import { DATABASE, DESTROY_OPTIONS, mayDestroy } from '../shared-options.ts';
import { alignColumns } from '../table-text.ts';
import { bytesText, countText, durationText } from '../units.ts';
import { withStore } from '../with-store.ts';

const NAME = { name: 'consumer' };

const stateOf = ({ position, error }: ConsumerInfo): string =>
  error !== undefined ? 'damaged' : position?.isPaused === true ? 'paused' : 'ready';

const list: Command = {
  name: 'consumers list',
  summary: 'List the durable consumers: name, state, position',
  positionals: [DATABASE],
  options: {},
  examples: ['consumers list ./data', 'consumers list ./data --json'],
  run: (context) =>
    withStore(context, 'read', async (store) => {
      const { flags, out } = context;
      const infos = await consumerInfos(store);
      if (flags.has('json')) {
        for (const info of infos) {
          const { name, position, error } = info;
          const { cursor, sequence, settledBeyond } = position ?? {};
          await out.json({ name, state: stateOf(info), sequence, settledBeyond, cursor, error: error?.message });
        }
        return EXIT.done;
      }
      const rows = infos.map((info) => [info.name, stateOf(info), info.position?.sequence.toString() ?? '-']);
      if (rows.length > 0)
        for (const row of alignColumns([['NAME', 'STATE', 'SEQUENCE'], ...rows], [2])) await out.line(row);
      return EXIT.done;
    }),
};

const lag: Command = {
  name: 'consumers lag',
  summary: 'Show how much each consumer, or one, has before it',
  positionals: [DATABASE, { ...NAME, isOptional: true }],
  options: {},
  details: ['A consumer of a part of the keys counts only these, as they were when it ran last.'],
  examples: ['consumers lag ./data', 'consumers lag ./data totals --json'],
  run: (context) =>
    withStore(context, 'read', async (store) => {
      const { flags, positionals, out, signal } = context;
      const only = positionals[1];
      const names = only === undefined ? (await consumerInfos(store)).map(({ name }) => name) : [only];
      const rows: string[][] = [];
      for (const name of names) {
        const { consumer } = await deskOf(store, name);
        const { changes, bytes, ageMs } = await consumer.lag({ signal });
        if (flags.has('json')) await out.json({ name, changes, bytes, ageMs });
        else rows.push([name, countText(changes), bytesText(bytes), durationText(ageMs)]);
      }
      if (rows.length > 0) {
        for (const row of alignColumns([['NAME', 'CHANGES', 'BYTES', 'OLDEST'], ...rows], [1, 2, 3]))
          await out.line(row);
      }
      return EXIT.done;
    }),
};

const seek: Command = {
  name: 'consumers seek',
  summary: 'Have a consumer go on from another place',
  positionals: [DATABASE, NAME],
  options: {
    to: { kind: 'text', placeholder: 'place', help: 'start, now, a cursor, a sequence number, or a date' },
    ...DESTROY_OPTIONS,
  },
  details: ['What lies between is left out, or handled again. The old cursor is told, so that there is a way back.'],
  examples: ['consumers seek ./data totals --to start --dry-run', 'consumers seek ./data totals --to 2026-01-31 --yes'],
  run: (context) => {
    const { flags } = context;
    const to = placeOf(flags.text('to') ?? 'snapshot');
    if (to === 'snapshot')
      throw new UsageError('consumers seek needs --to: start, now, a cursor, a sequence number, or a date.');
    return withDesk(
      context,
      async ({ info, consumer }) => {
        const { talk, out } = context;
        const before = info.position;
        const toText = flags.text('to') ?? '';
        const from = before === undefined ? 'an unreadable place' : `sequence ${before.sequence}`;
        if (!(await mayDestroy(context, `move ${info.name} from ${from} to ${toText}`))) return refused(context);
        await consumer.seek(to);
        const after = await consumer.position();
        if (before !== undefined)
          talk.note(`The way back: alluvium consumers seek <db> ${info.name} --to ${before.cursor}`);
        if (flags.has('json')) await out.json({ name: info.name, before, after });
        else await out.line(`${info.name} goes on behind sequence ${after?.sequence ?? 0}`);
        return EXIT.done;
      },
      flags.has('dry-run'),
    );
  },
};

const pauseOrResume = (verb: 'pause' | 'resume'): Command => ({
  name: `consumers ${verb}`,
  summary: verb === 'pause' ? 'Have a consumer deliver nothing more, also after a restart' : 'Have a consumer go on',
  positionals: [DATABASE, NAME],
  options: {},
  examples: [`consumers ${verb} ./data totals`],
  run: (context) =>
    withDesk(context, async ({ info, consumer }) => {
      await consumer[verb]();
      const state = verb === 'pause' ? 'paused' : 'ready';
      if (context.flags.has('json')) await context.out.json({ name: info.name, state });
      else await context.out.line(`${info.name} is ${state}`);
      return EXIT.done;
    }),
});

const remove: Command = {
  name: 'consumers delete',
  summary: 'Forget a consumer: its position and its dead letters',
  positionals: [DATABASE, NAME],
  options: { ...DESTROY_OPTIONS },
  examples: ['consumers delete ./data totals --dry-run', 'consumers delete ./data totals --yes'],
  run: (context) =>
    withDesk(
      context,
      async ({ info, consumer }) => {
        const letters = await countLetters(consumer, context.signal);
        const what = `forget consumer ${info.name}, its position and ${lettersText(letters)}`;
        if (!(await mayDestroy(context, what))) return refused(context);
        await consumer.delete();
        if (context.flags.has('json'))
          await context.out.json({ name: info.name, deadLetters: letters.count, hasMore: letters.isMore });
        else await context.out.line(`${info.name} is forgotten`);
        return EXIT.done;
      },
      context.flags.has('dry-run'),
    ),
};

/** A dry run did what it was to do; a person who said no got nothing done. */
const refused = ({ flags }: Context): ExitCode => (flags.has('dry-run') ? EXIT.done : EXIT.error);

/** @param isDry - nothing will be written: then the files are not touched either */
const withDesk = (context: Context, work: (desk: Desk) => Promise<ExitCode>, isDry = false): Promise<ExitCode> =>
  withStore(context, isDry ? 'read' : 'write', async (store) =>
    work(await deskOf(store, context.positionals[1] ?? '')),
  );

export const consumers: readonly Command[] = [list, lag, seek, pauseOrResume('pause'), pauseOrResume('resume'), remove];
