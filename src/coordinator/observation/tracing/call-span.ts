import { type Attributes, type Context, type Span, SpanStatusCode } from '@opentelemetry/api';
import type { ParticipantMethod } from '../../execution/calls.js';
import { isHeuristic } from '../../execution/heuristics.js';
import { describeAnswer, messageOf } from '../../execution/incident.js';
import { refusalIn } from '../../execution/refusals.js';
import type { CallTrace } from '../../execution/tracing.js';
import type { Branch, HeuristicError } from '../../participant/participant.js';
import { ATTRIBUTES } from './attributes.js';
import type { TracerGuard } from './tracer-guard.js';

/** The span of one call of a participant: until it is answered, or nobody waits for the answer any longer. */
export class CallSpan implements CallTrace {
  constructor(
    readonly branch: Branch,
    readonly method: ParticipantMethod,
    private readonly span: Span,
    /** The one in which the span is active. */
    private readonly context: Context,
    private readonly guard: TracerGuard,
    /** The calls of the transaction that are under way. */
    private readonly open: Set<CallSpan>,
  ) {
    open.add(this);
  }

  run<T>(call: () => T): T {
    return this.guard.within(this.context, call);
  }

  answered(value: unknown): void {
    this.end(() => {
      if (this.method === 'prepare') this.voted(value);
      else if (this.method === 'commitOnePhase') this.decided(value);
    });
  }

  failed(error: unknown): void {
    this.end(() => {
      if (isHeuristic(error)) {
        this.reported(error);
        return;
      }
      const isError = error instanceof Error;
      this.span.recordException(isError ? error : messageOf(error));
      this.fail(isError ? error.name : '_OTHER', messageOf(error));
    });
  }

  timedOut(message: string): void {
    this.end(() => this.fail('timeout', message));
  }

  abandoned(): void {
    this.end(() => this.span.setAttribute(ATTRIBUTES.abandoned, true));
  }

  private voted(value: unknown): void {
    if (value === 'commit' || value === 'read-only') this.span.setAttribute(ATTRIBUTES.vote, value);
    else if (!this.refused(value, ATTRIBUTES.vote)) {
      this.fail('invalid_answer', `answered prepare with ${describeAnswer(value)}, which is no vote`);
    }
  }

  private decided(value: unknown): void {
    if (value === 'commit') this.span.setAttribute(ATTRIBUTES.decision, value);
    else if (!this.refused(value, ATTRIBUTES.decision)) {
      this.fail('invalid_answer', `answered ${describeAnswer(value)}, which is neither commit nor abort`);
    }
  }

  /** A refusal is an answer like any other, and no error. */
  private refused(value: unknown, attribute: string): boolean {
    const refusal = refusalIn(value);
    if (refusal === undefined) return false;
    const { code, reason } = refusal;
    const attributes: Attributes = { [attribute]: 'abort', [ATTRIBUTES.refusalReason]: reason };
    if (code !== undefined) attributes[ATTRIBUTES.refusalCode] = code;
    this.span.setAttributes(attributes);
    return true;
  }

  /** A report that agrees with what was asked for is none. */
  private reported(report: HeuristicError): void {
    const { kind } = report;
    this.span.setAttribute(ATTRIBUTES.heuristic, kind);
    const isOneWay = kind === 'commit' || kind === 'rollback';
    if (kind === this.method || (this.method === 'commitOnePhase' && isOneWay)) return;
    this.span.recordException(report);
    this.fail('heuristic', messageOf(report));
  }

  private fail(type: string, message: string): void {
    this.span.setAttribute(ATTRIBUTES.errorType, type);
    this.span.setStatus({ code: SpanStatusCode.ERROR, message });
  }

  /** Ends the span, once. What cannot be described ends as well. */
  private end(describe: () => void): void {
    if (!this.open.delete(this)) return;
    this.guard.try(describe);
    this.guard.try(() => this.span.end());
  }
}
