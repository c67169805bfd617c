/** For how long the lines of one kind are counted together, in milliseconds. */
export const LINE_WINDOW_MS = 10_000;

/** Lines of one kind about one subject, such as a participant: how many were written lately, and left out. */
export class LineWindow {
  /** When the present window ends. */
  until = 0;
  written = 0;
  leftOut = 0;
  timer: NodeJS.Timeout | undefined = undefined;

  /**
   * @param kind the subject of the lines, for a metric.
   * @param subject fields for the line that says how many were left out.
   * @param max the most lines in one window.
   * @default that of the limit
   */
  constructor(
    readonly kind: string,
    readonly subject: object = {},
    readonly max?: number,
  ) {}
}

/**
 * Limits how many lines of one kind are written. Every line that is left out is counted: in a line at the end
 * of its window, and in a total.
 */
export class LineLimit {
  private readonly waiting = new Set<LineWindow>();
  private readonly totals = new Map<string, number>();
  private isClosed = false;

  /**
   * @param max the most lines of one kind about one subject in each ten seconds.
   * @param report says how many lines of a window were left out. It does not throw.
   * @param now a monotonic clock, in milliseconds.
   */
  constructor(
    private readonly max: number,
    private readonly report: (window: LineWindow, leftOut: number) => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** How many lines were left out since the start, by their kind. */
  get leftOut(): ReadonlyMap<string, number> {
    return this.totals;
  }

  /** @returns whether the next line of the window is to be written. */
  takes(window: LineWindow): boolean {
    const now = this.now();
    if (now >= window.until) {
      this.end(window);
      window.until = now + LINE_WINDOW_MS;
      window.written = 0;
    }
    if (this.isClosed || window.written < (window.max ?? this.max)) {
      window.written++;
      return true;
    }
    window.leftOut++;
    this.totals.set(window.kind, (this.totals.get(window.kind) ?? 0) + 1);
    if (window.timer === undefined) {
      this.waiting.add(window);
      window.timer = setTimeout(() => this.end(window), window.until - now).unref();
    }
    return false;
  }

  /** Says what was left out, and limits nothing from now on. No timer is left. */
  close(): void {
    this.isClosed = true;
    for (const window of this.waiting) this.end(window);
  }

  private end(window: LineWindow): void {
    const { leftOut } = window;
    if (leftOut === 0) return;
    clearTimeout(window.timer);
    window.timer = undefined;
    window.leftOut = 0;
    this.waiting.delete(window);
    this.report(window, leftOut);
  }
}
