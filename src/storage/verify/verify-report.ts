/** What a check of a database's files finds, and the bounded list that it is gathered in. */

/** `'error'`: something is lost or wrong. `'warning'`: nothing is lost by it, and it should not be so. `'info'`: good to know. */
export type VerifySeverity = 'error' | 'warning' | 'info';

/** What kind of thing was found. Stable; the words beside it are not. */
export type VerifyCode =
  | 'missing'
  | 'unreadable'
  | 'damaged'
  | 'tornTail'
  | 'padding'
  | 'gap'
  | 'size'
  | 'bounds'
  | 'order'
  | 'filter'
  | 'sequence'
  | 'fileNumber'
  | 'properties'
  | 'splitKey'
  | 'staleRead'
  | 'history'
  | 'historyIndex'
  | 'notCompared'
  | 'changed';

/** One thing that was found. */
export interface VerifyFinding {
  readonly severity: VerifySeverity;
  readonly code: VerifyCode;
  /** Relative to the database directory. */
  readonly file: string;
  /** Byte in the file, or where the block or record begins that holds it; `undefined`: it is about the whole file. */
  readonly offset: number | undefined;
  /** What does not fit, in words. */
  readonly reason: string;
  /** What can be done about it, in words. */
  readonly remedy: string;
}

/** The answer of a check. */
export interface VerifyReport {
  /** The directory's absolute name, symbolic links resolved. */
  readonly location: string;
  /** Whether no error was found. Warnings may have been. */
  readonly isWhole: boolean;
  /** In the order in which they were found; at most `findingsMax` of them. */
  readonly findings: readonly VerifyFinding[];
  /** All that was found, also what the list had no room for. */
  readonly errorCount: number;
  readonly warningCount: number;
  readonly infoCount: number;
  /** Files of the kinds that are ours or LevelDB's and that nothing names; harmless. At most 10,000, relative names. */
  readonly unreferenced: readonly string[];
  /** Files that were checked. */
  readonly files: number;
  /** Bytes of them. */
  readonly bytes: number;
  /** Live tables. */
  readonly tables: number;
  /** Entries in them: versions of keys, tombstones too. */
  readonly entries: number;
  /** Different keys that a point read was compared for. */
  readonly keys: number;
  /** Write batches in the logs that an open would replay. */
  readonly logBatches: number;
  /** Retained logs of history. */
  readonly historySegments: number;
  /** The highest sequence number there is, in tables or logs. */
  readonly lastSequence: number;
}

/** How far a check has come. */
export interface VerifyProgress {
  /** Bytes done. Tables count twice: they are read once for themselves, and once to compare ways of reading. */
  readonly bytes: number;
  readonly bytesTotal: number;
}

interface Kind {
  readonly severity: VerifySeverity;
  readonly remedy: string;
}

const REPAIR =
  'Restore the file from a backup, or run repair (a dry run first): it keeps all that is readable, and sets the file aside.';
const HISTORY =
  'Data is not concerned. Change streams from before that place need a fresh start; repair sets history aside.';

const KINDS: Readonly<Record<VerifyCode, Kind>> = {
  missing: { severity: 'error', remedy: REPAIR },
  unreadable: { severity: 'error', remedy: 'Check the device, its mount and the permissions, then verify again.' },
  damaged: { severity: 'error', remedy: REPAIR },
  tornTail: {
    severity: 'warning',
    remedy:
      'After a crash or a power cut this is as it should be, and the next open drops it. If there was none, something that ' +
      'was written last is damaged.',
  },
  padding: {
    severity: 'warning',
    remedy: 'No data is concerned; but something has written there. Distrust the device.',
  },
  gap: { severity: 'warning', remedy: 'No data is concerned; compact the range to write the table again.' },
  size: { severity: 'error', remedy: REPAIR },
  bounds: { severity: 'error', remedy: REPAIR },
  order: { severity: 'error', remedy: REPAIR },
  filter: { severity: 'error', remedy: 'Compact the range, or run repair: either makes filters anew.' },
  sequence: { severity: 'error', remedy: REPAIR },
  fileNumber: { severity: 'error', remedy: REPAIR },
  properties: { severity: 'warning', remedy: 'They are hints; compact the range to write the table again.' },
  splitKey: {
    severity: 'warning',
    remedy:
      'Real LevelDB writes such tables, and may read stale values from them; this engine does not. Compact the range.',
  },
  staleRead: { severity: 'error', remedy: 'Compact the range: a compaction reads by merging, and leaves one version.' },
  history: { severity: 'error', remedy: HISTORY },
  historyIndex: {
    severity: 'warning',
    remedy: 'Commit times of changes are less exact there; nothing else is concerned.',
  },
  notCompared: { severity: 'info', remedy: 'Repair what is damaged, then verify again.' },
  changed: {
    severity: 'warning',
    remedy:
      'Another process has the database open: what was found may be due to that. Close it there, and verify again.',
  },
};

/** Names listed at most. */
const UNREFERENCED_MAX = 10_000;

/** Findings, the first so many of them, and how many there were. */
export class FindingList {
  readonly findings: VerifyFinding[] = [];
  readonly unreferenced: string[] = [];
  readonly counts: Record<VerifySeverity, number> = { error: 0, warning: 0, info: 0 };
  readonly #findingsMax: number;

  constructor(findingsMax: number) {
    this.#findingsMax = findingsMax;
  }

  add(code: VerifyCode, file: string, offset: number | undefined, reason: string): void {
    const { severity, remedy } = KINDS[code];
    this.counts[severity] += 1;
    if (this.findings.length < this.#findingsMax) this.findings.push({ severity, code, file, offset, reason, remedy });
  }

  addUnreferenced(name: string): void {
    if (this.unreferenced.length < UNREFERENCED_MAX) this.unreferenced.push(name);
  }
}
