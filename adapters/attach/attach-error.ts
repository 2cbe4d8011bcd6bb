/** What can go wrong between two processes that share a store, beside what can go wrong in the store itself. */
import { EngineError } from 'alluvium';

/** What came over the socket is not what this protocol says. The connection is ended; the store is not touched by it. */
export class AttachProtocolError extends EngineError {
  readonly code = 'ATTACH_PROTOCOL';

  constructor(reason: string, options?: ErrorOptions) {
    super(`the connection to the process that has the store was ended: ${reason}`, options);
    this.name = 'AttachProtocolError';
  }
}

/** The process that has the store speaks another version of the protocol. */
export class AttachVersionError extends EngineError {
  readonly code = 'ATTACH_VERSION';
  readonly ours: number;
  readonly theirs: number;

  constructor(ours: number, theirs: number, theirPackage: string) {
    super(
      `the process that has the store open (alluvium ${theirPackage}) speaks version ${theirs} of the protocol, and this one ` +
        `version ${ours}. Use the same version of the package in both.`,
    );
    this.name = 'AttachVersionError';
    this.ours = ours;
    this.theirs = theirs;
  }
}

/**
 * The process that had the store has gone, and with it what only it could hold: a snapshot, an open scan, a change stream
 * that was still at its snapshot. Whatever can be asked of its successor goes on by itself.
 */
export class OwnerLostError extends EngineError {
  readonly code = 'OWNER_LOST';

  constructor(what: string) {
    super(`the process that had the store has gone, and the ${what} with it. Make a new one: the store goes on.`);
    this.name = 'OwnerLostError';
  }
}

/** Nobody answered for the store in time, and it could not be opened here. The cause says why not. Try again later. */
export class TakeOverError extends EngineError {
  readonly code = 'TAKE_OVER';
  readonly waitedMs: number;

  constructor(location: string, waitedMs: number, options?: ErrorOptions) {
    super(
      `${location} could neither be attached to nor opened within ${waitedMs} ms. Whether an unanswered write was done is ` +
        'unknown. The next call tries again; see the cause.',
      options,
    );
    this.name = 'TakeOverError';
    this.waitedMs = waitedMs;
  }
}

/** In the directory there is another database now than the one that was attached to. */
export class OtherDatabaseError extends EngineError {
  readonly code = 'OTHER_DATABASE';

  constructor(location: string) {
    super(`${location} holds another database than before: it was destroyed and made anew. Open it again.`);
    this.name = 'OtherDatabaseError';
  }
}

/** Something that only the process that has the store can do. */
export class NotAttachableError extends EngineError {
  readonly code = 'NOT_ATTACHABLE';

  constructor(what: string, hint = '') {
    const message = `${what} needs the store itself, and another process has it. Do it there, or close the store there first.`;
    super(`${message} ${hint}`.trimEnd());
    this.name = 'NotAttachableError';
  }
}
