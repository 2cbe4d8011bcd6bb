/** The sequence numbers that live snapshots look at. Compaction keeps what they can see. */
export class SnapshotList {
  /** How many snapshots look at a sequence number. */
  readonly #holders = new Map<number, number>();

  get size(): number {
    return this.#holders.size;
  }

  add(sequence: number): void {
    this.#holders.set(sequence, (this.#holders.get(sequence) ?? 0) + 1);
  }

  remove(sequence: number): void {
    const left = (this.#holders.get(sequence) ?? 0) - 1;
    if (left > 0) this.#holders.set(sequence, left);
    else this.#holders.delete(sequence);
  }

  /** Ascending, each once. */
  sequences(): number[] {
    return [...this.#holders.keys()].sort((a, b) => a - b);
  }

  get oldest(): number | undefined {
    return this.sequences()[0];
  }
}
