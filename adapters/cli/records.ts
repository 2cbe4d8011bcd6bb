/** Entries and changes as lines: text with tabs for people and `cut`, NDJSON for programs. */
import type { ChangeEvent, Entry } from 'alluvium';
import type { Coders } from './encoding.ts';
import type { Output } from './output.ts';

/** How one kind of thing is printed. */
export type Printer<T> = (thing: T) => Promise<void> | undefined;

export type EntryPart = 'entry' | 'key' | 'value';

/** Numbers from `level`'s encodings have no tabs, and text has them escaped: a tab always parts key and value. */
export function entryPrinter(out: Output, { key, value }: Coders, isJson: boolean, part: EntryPart): Printer<Entry> {
  if (isJson) {
    return (entry) =>
      out.json({
        ...(part === 'value' ? {} : { key: key.toJson(entry.key) }),
        ...(part === 'key' ? {} : { value: value.toJson(entry.value) }),
      });
  }
  return (entry) => {
    if (part === 'key') return out.line(key.show(entry.key));
    if (part === 'value') return out.line(value.show(entry.value));
    return out.line(`${key.show(entry.key)}\t${value.show(entry.value)}`);
  };
}

/** What `changes` gives; the JSON of sets and deletes is what `import` takes. */
export function changePrinter(out: Output, coders: Coders, isJson: boolean): Printer<ChangeEvent> {
  return isJson ? (event) => out.json(changeJson(event, coders)) : (event) => out.line(changeText(event, coders));
}

function changeJson(event: ChangeEvent, { key, value }: Coders): unknown {
  if (event.type === 'snapshotEnd') return { type: event.type, sequence: event.sequence, cursor: event.cursor };
  if (event.type === 'skipped') {
    return { type: event.type, count: event.count, sequence: event.sequence, cursor: event.cursor };
  }
  const { type, sequence } = event;
  const keyAndValue = {
    key: key.toJson(event.key),
    ...(event.type === 'delete' ? {} : { value: value.toJson(event.value) }),
  };
  if (event.type === 'entry') return { type, sequence, ...keyAndValue };
  const { batchIndex, batchSize, timeMs, cursor } = event;
  return { type, sequence, batchIndex, batchSize, time: new Date(timeMs).toISOString(), cursor, ...keyAndValue };
}

function changeText(event: ChangeEvent, { key, value }: Coders): string {
  if (event.type === 'snapshotEnd') return `${event.sequence}\tsnapshotEnd`;
  if (event.type === 'skipped') return `${event.sequence}\tskipped\t${event.count}`;
  const start = `${event.sequence}\t${event.type}\t${key.show(event.key)}`;
  return event.type === 'delete' ? start : `${start}\t${value.show(event.value)}`;
}

/** Prints pages as they come; ends early when nobody reads any more. @returns how many it printed */
export async function printPages<T>(
  pages: AsyncIterable<readonly T[]>,
  out: Output,
  print: Printer<T>,
  settings: { readonly limit?: number; readonly flushesPages?: boolean } = {},
): Promise<number> {
  const { limit = Infinity, flushesPages = false } = settings;
  let printed = 0;
  if (limit === 0) return printed;
  for await (const page of pages) {
    for (const thing of page) {
      const wait = print(thing);
      if (wait !== undefined) await wait;
      printed += 1;
      if (printed >= limit || out.isClosed) return printed;
    }
    if (flushesPages) await out.flush();
  }
  return printed;
}
