/**
 * Checking, mending and copying whole databases, as the package offers it: `verify`, `repair`, `restore` and the store's
 * `backup`. They are looked up when they are needed, so that a build of the package without them has every other command.
 */
import { escapeText } from './escape.ts';
import { Failure } from './failure.ts';
import type { CommandStore } from './open-store.ts';

export interface WorkProgress {
  readonly bytes: number;
  readonly bytesTotal: number;
}

export interface WorkOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: WorkProgress) => void) | undefined;
}

export interface Finding {
  readonly severity: 'error' | 'warning' | 'info';
  readonly code: string;
  readonly file: string;
  readonly offset: number | undefined;
  readonly reason: string;
  readonly remedy: string;
}

export interface VerifyReport {
  readonly isWhole: boolean;
  readonly findings: readonly Finding[];
  readonly errorCount: number;
  readonly warningCount: number;
  readonly infoCount: number;
  readonly files: number;
  readonly bytes: number;
  readonly entries: number;
}

export interface RepairLoss {
  readonly file: string;
  readonly offset: number;
  /** `undefined`: to the end of the file. */
  readonly endOffset: number | undefined;
  readonly reason: string;
  readonly firstKey: Uint8Array | undefined;
  readonly lastKey: Uint8Array | undefined;
}

export interface RepairReport {
  readonly wasWhole: boolean;
  readonly levels: string;
  readonly tablesKept: number;
  readonly tablesRewritten: number;
  readonly entriesRead: number;
  readonly logBatches: number;
  readonly history: string;
  readonly losses: readonly RepairLoss[];
  readonly lossCount: number;
  readonly notes: readonly string[];
  readonly setAside: readonly string[];
  readonly lostDirectory: string | undefined;
}

/** What backing up and restoring tell; the fields are theirs. */
export type Report = Readonly<Record<string, unknown>>;

interface Maintenance {
  verify(location: string, options?: WorkOptions): PromiseLike<VerifyReport>;
  repair(location: string, options?: WorkOptions & { readonly dryRun?: boolean }): PromiseLike<RepairReport>;
  restore(from: string, to: string, options?: WorkOptions): PromiseLike<Report | undefined>;
}

export async function maintenance<Name extends keyof Maintenance>(name: Name): Promise<Maintenance[Name]> {
  const found: unknown = Reflect.get(await import('alluvium'), name);
  if (typeof found === 'function') return found as Maintenance[Name]; // by the contract of the package
  throw new Failure(`this build of alluvium has no ${name} yet.`);
}

export function backupOf(store: CommandStore): (directory: string, options?: WorkOptions) => PromiseLike<Report> {
  const found: unknown = Reflect.get(store, 'backup');
  if (typeof found === 'function') return found.bind(store) as ReturnType<typeof backupOf>;
  throw new Failure('this build of alluvium has no backup yet.');
}

/** A report for people: its plain fields, one a line. */
export const reportLines = (report: Report): string[] =>
  Object.entries(report)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${escapeText(typeof value === 'string' ? value : JSON.stringify(value))}`);
