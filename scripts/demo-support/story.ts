/** Prints each event, with the time since the start. */
export class Story {
  /** The present step, for a demo that does not end in time. */
  scene = '';
  private readonly startedAt = performance.now();

  /** @param write receives each line. */
  constructor(private readonly write: (line: string) => void) {}

  begin(scene: string): void {
    this.scene = scene;
    this.write(`\n${scene}`);
  }

  tell(text: string): void {
    const seconds = ((performance.now() - this.startedAt) / 1_000).toFixed(1);
    this.write(`${seconds.padStart(6)} s  ${text}`);
  }

  /** Adds a line to the last event. */
  add(text: string): void {
    this.write(`          ${text}`);
  }
}
