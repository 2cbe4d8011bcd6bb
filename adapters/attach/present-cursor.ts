/** Where the change stream of a store is: a cursor with its database and its time. */
import type { Cursor, Store } from 'alluvium';
import { AttachProtocolError } from './attach-error.ts';

export async function presentCursor(store: Store): Promise<Cursor> {
  // The state of a range in which there is no key: it has an end all the same.
  for await (const event of store.changes({ from: 'snapshot', gt: 'a', lt: 'a' })) {
    if (event.type === 'snapshotEnd') return event.cursor;
  }
  throw new AttachProtocolError('the store was closed.');
}
