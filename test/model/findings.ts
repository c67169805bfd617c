/** What a part of the proof has found wrong, and told. */
export class Findings {
  failures = 0;

  /** @param path the steps that lead to it. */
  fail(what: string, path: readonly string[] = []): void {
    this.failures++;
    console.error([`FAILED: ${what}`, ...path.map((step, index) => `  ${index + 1}. ${step}`)].join('\n'));
  }

  /** @param since when it was begun, by `performance.now()`. */
  tell(what: string, since: number): void {
    console.log(`${what}, ${((performance.now() - since) / 1_000).toFixed(1)} s`);
  }
}
