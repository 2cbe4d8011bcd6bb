/** What flush and compaction count, for `store.stats()`; and the ids by which their events belong together. */
export class JobCounters {
  flushes = 0;
  flushBytesWritten = 0;
  compactions = 0;
  trivialMoves = 0;
  compactionBytesRead = 0;
  compactionBytesWritten = 0;
  #jobId = 0;

  nextJobId(): number {
    this.#jobId += 1;
    return this.#jobId;
  }

  flushed(bytesWritten: number): void {
    this.flushes += 1;
    this.flushBytesWritten += bytesWritten;
  }

  compacted(bytesRead: number, bytesWritten: number): void {
    this.compactions += 1;
    this.compactionBytesRead += bytesRead;
    this.compactionBytesWritten += bytesWritten;
  }
}
