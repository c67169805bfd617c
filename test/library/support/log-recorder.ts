import type { LoggerService } from '@nestjs/common';

/** One call of Nest's logger. */
export interface LogEntry {
  readonly level: 'log' | 'error' | 'warn' | 'debug' | 'verbose' | 'fatal';
  readonly message: unknown;
  /** What it says, where the message is an object with fields, or a text. */
  readonly text: string;
  readonly context: string | undefined;
  /** What stands between the message and the context: a stack. */
  readonly rest: readonly unknown[];
}

/** A logger for an application, which keeps what is logged so that a test can read it. */
export class LogRecorder implements LoggerService {
  readonly entries: LogEntry[] = [];

  readonly log = this.writer('log');
  readonly error = this.writer('error');
  readonly warn = this.writer('warn');
  readonly debug = this.writer('debug');
  readonly verbose = this.writer('verbose');
  readonly fatal = this.writer('fatal');

  /** @returns the entries of one context, in order. */
  of(context: string, level?: LogEntry['level']): LogEntry[] {
    return this.entries.filter(
      (entry) => entry.context === context && (level === undefined || entry.level === level),
    );
  }

  private writer(level: LogEntry['level']): (message: unknown, ...optional: unknown[]) => void {
    return (message, ...optional) => {
      const context = optional.at(-1);
      this.entries.push({
        level,
        message,
        text: textOf(message),
        context: typeof context === 'string' ? context : undefined,
        rest: optional.slice(0, -1),
      });
    };
  }
}

function textOf(message: unknown): string {
  return typeof message === 'object' && message !== null && 'msg' in message
    ? String(message.msg)
    : String(message);
}
