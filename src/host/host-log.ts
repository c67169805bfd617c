import type { Logger } from '@nestjs/common';
import { LINE_WINDOW_MS, LineLimit, LineWindow } from '../coordinator/gate/line-windows.js';
import { LogLine } from '../coordinator/gate/log-line.js';
import { messageOf, oneLine } from '../coordinator/gate/texts.js';
import { type CallerNote, originOf } from '../coordinator/participant/caller-note.js';
import type { CallAnswer, WireCall } from '../remote/wire/index.js';

/** The most lines about failed calls of one participant in ten seconds. */
const MAX_FAILURES = 50;

/** The log lines of a host. A logger that throws must not fail a call, so nothing here throws. */
export class HostLog {
  /** How often a logger, a tracer or a meter of the application has thrown. */
  defects = 0;
  private lastDefect: string | undefined;

  constructor(private readonly logger: Pick<Logger, 'log' | 'warn' | 'error'>) {}

  private readonly windows = new Map<string, LineWindow>();
  private readonly limit = new LineLimit(MAX_FAILURES, ({ subject }, leftOut) => {
    const message = `${leftOut} lines about failed calls were left out in the last ${LINE_WINDOW_MS / 1_000} s`;
    this.warn(new LogLine(message, { ...subject, leftOut }));
  });

  /** How many lines about failed calls were left out, because there were too many. */
  get leftOut(): number {
    return this.limit.leftOut.get('call') ?? 0;
  }

  /** A call was answered. Only a failure is worth a line; a report of another end is never left out. */
  answered(participant: string, call: WireCall, answer: CallAnswer): void {
    if (answer.kind !== 'error' && answer.kind !== 'heuristic') return;
    const fields = {
      ...('transactionId' in call && {
        transactionId: call.transactionId,
        branchId: call.branchId,
        attempt: call.attempt,
      }),
      participant,
      ...originOf(noteOf(call)),
    };
    const reason = oneLine(answer.reason);
    if (answer.kind === 'heuristic') {
      const { heuristic } = answer;
      this.error(
        new LogLine(`${call.method} reports a heuristic ${heuristic}: ${reason}`, { ...fields, heuristic }),
      );
      return;
    }
    const window = this.windows.get(participant) ?? new LineWindow('call', { participant });
    this.windows.set(participant, window);
    if (!this.limit.takes(window)) return;
    const code = answer.code === undefined ? {} : { code: answer.code };
    this.warn(new LogLine(`${call.method} failed: ${reason}`, { ...fields, cause: 'failed', ...code }));
  }

  /** Says how many lines were left out. No timer is left. */
  close(): void {
    this.limit.close();
  }

  log(line: string | LogLine): void {
    this.write(() => this.logger.log(line));
  }

  warn(line: string | LogLine): void {
    this.write(() => this.logger.warn(line));
  }

  error(line: string | LogLine): void {
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

/** @returns where a call comes from. */
function noteOf(call: WireCall): CallerNote {
  const { traceparent } = call;
  const requestId = 'requestId' in call ? call.requestId : undefined;
  return { ...(traceparent !== undefined && { traceparent }), ...(requestId !== undefined && { requestId }) };
}
