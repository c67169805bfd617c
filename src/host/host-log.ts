import type { Logger } from '@nestjs/common';
import { messageOf, oneLine } from '../coordinator/gate/texts.js';

/** What a host writes. A logger that throws must not fail a call, so nothing here throws. */
export class HostLog {
  /** How often a logger, a tracer or a meter of the application has thrown. */
  defects = 0;
  private lastDefect: string | undefined;

  constructor(private readonly logger: Pick<Logger, 'log' | 'warn' | 'error'>) {}

  log(line: string): void {
    this.write(() => this.logger.log(line));
  }

  warn(line: string): void {
    this.write(() => this.logger.warn(line));
  }

  error(line: string): void {
    this.write(() => this.logger.error(line));
  }

  /**
   * Something of the application has thrown, and the call goes on without it. The same error is written once.
   *
   * @param what has thrown, such as `The tracer`.
   */
  defect(what: string, error: unknown): void {
    this.defects++;
    const reason = `${what} of the application has thrown, and calls go on without it: ${oneLine(messageOf(error))}`;
    if (reason === this.lastDefect) return;
    this.lastDefect = reason;
    this.error(reason);
  }

  private write(line: () => void): void {
    try {
      line();
    } catch {
      // Only the counter remains to report it.
      this.defects++;
    }
  }
}
