/** Counts the things that were seen: the evidence that a run without violations has tried something. */
export class Witnesses {
  private readonly counts = new Map<string, number>();

  count(what: string, times = 1): void {
    this.counts.set(what, this.of(what) + times);
  }

  of(what: string): number {
    return this.counts.get(what) ?? 0;
  }

  add(others: Iterable<readonly [string, number]>): void {
    for (const [what, times] of others) this.count(what, times);
  }

  entries(): [string, number][] {
    return [...this.counts];
  }
}
