/**
 * `alluvium/attach`: several processes, one store. The first one opens it, the others attach to the first over a local socket,
 * and take over when it goes away.
 *
 * @packageDocumentation
 */
export {
  AttachProtocolError,
  AttachVersionError,
  NotAttachableError,
  OtherDatabaseError,
  OwnerLostError,
  TakeOverError,
} from './attach-error.ts';
export type { AttachedStats, AttachedStore, Holder } from './attached-store.ts';
export type * from './face.ts';
export type { Role } from './link.ts';
export { type AttachOptions, openOrAttach } from './open-or-attach.ts';
