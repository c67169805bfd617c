import { Logger } from '@nestjs/common';
import { messageOf, oneLine } from './texts.js';

/**
 * The logger of code that must go on even if the logger of the application throws. Its first error becomes a
 * warning of the process.
 */
export class SafeLogger extends Logger {
  private hasFailed = false;

  override log(...line: [message: unknown, ...more: unknown[]]): void {
    this.safely(() => super.log(...line));
  }

  override warn(...line: [message: unknown, ...more: unknown[]]): void {
    this.safely(() => super.warn(...line));
  }

  override error(...line: [message: unknown, ...more: unknown[]]): void {
    this.safely(() => super.error(...line));
  }

  override debug(...line: [message: unknown, ...more: unknown[]]): void {
    this.safely(() => super.debug(...line));
  }

  private safely(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (this.hasFailed) return;
      this.hasFailed = true;
      process.emitWarning(`The logger of the application has failed: ${oneLine(messageOf(error))}`);
    }
  }
}
