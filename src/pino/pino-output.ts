/** The destination of a pino logger, as far as a {@link PinoOutput} needs it. @publicApi */
export interface PinoDestination {
  /** @param text one line or several, each with its line break. */
  write(text: string): unknown;
  /** Called by pino for `logger.flush()`. */
  flush?(done?: (error?: Error | null) => void): void;
  /** Called by pino after a fatal line. */
  flushSync?(): void;
  /** The number of dropped lines, if the destination counts them. */
  readonly dropped?: number;
}

/**
 * Stands between a pino logger and its destination, so that the lines of many transactions can be one write:
 *
 * ```ts
 * const output = new PinoOutput(pino.destination('app.log'));
 * const logger = pino({ level: 'info' }, output);
 * new PinoTransactionLines(logger, { linesPerWrite: 64, destination: output });
 * ```
 *
 * It passes on text only, so the destination must accept text as it comes: a file, a pipe, a transport.
 * `pino.multistream` needs the level of each line, which it does not get here.
 *
 * @publicApi
 */
export class PinoOutput implements PinoDestination {
  private isCapturing = false;
  private captured = '';

  /** @param destination where pino would write without this. */
  constructor(private readonly destination: PinoDestination) {}

  get dropped(): number {
    return this.destination.dropped ?? 0;
  }

  write(text: string): void {
    if (this.isCapturing) this.captured += text;
    else this.destination.write(text);
  }

  flush(done?: (error?: Error | null) => void): void {
    if (this.destination.flush === undefined) done?.();
    else this.destination.flush(done);
  }

  flushSync(): void {
    this.destination.flushSync?.();
  }

  /**
   * @param log lets the logger write.
   * @returns what the logger has written meanwhile. Nothing of it reaches the destination.
   * @internal
   */
  capture(log: () => void): string {
    this.isCapturing = true;
    try {
      log();
      return this.captured;
    } finally {
      this.isCapturing = false;
      this.captured = '';
    }
  }
}
