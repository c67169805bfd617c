/** Tells what happens, with the time since the start. */
export class Story {
  /** What is going on, for a demo that does not end. */
  scene = '';
  private readonly startedAt = performance.now();

  /** @param write gets each line. */
  constructor(private readonly write: (line: string) => void) {}

  begin(scene: string): void {
    this.scene = scene;
    this.write(`\n${scene}`);
  }

  tell(text: string): void {
    const seconds = ((performance.now() - this.startedAt) / 1_000).toFixed(1);
    this.write(`${seconds.padStart(6)} s  ${text}`);
  }

  /** Goes on with what was told last. */
  add(text: string): void {
    this.write(`          ${text}`);
  }
}
