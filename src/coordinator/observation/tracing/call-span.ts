import { type Attributes, type Context, type Span, SpanStatusCode } from '@opentelemetry/api';
import type { CallTrace, ParticipantMethod } from '../../execution/trace.js';
import { type Answer, Expiring, Refused, describeUndecided } from '../../gate/answer.js';
import { type Failure, stackOf } from '../../gate/failure.js';
import type { Branch } from '../../participant/participant.js';
import type { HeuristicKind } from '../../protocol/index.js';
import { ATTRIBUTES } from './attributes.js';
import type { TracerGuard } from './tracer-guard.js';

/**
 * The span of one call of a participant. It ends with the answer, or when the coordinator no longer waits for
 * it.
 */
export class CallSpan implements CallTrace {
  constructor(
    readonly branch: Branch,
    readonly method: ParticipantMethod,
    private readonly span: Span,
    /** The context in which the span is active. */
    private readonly context: Context,
    private readonly guard: TracerGuard,
    /** The running calls of the transaction. */
    private readonly open: Set<CallSpan>,
  ) {
    open.add(this);
  }

  run<T>(call: () => T): T {
    return this.guard.within(this.context, call);
  }

  answered(answer: Answer): void {
    this.end(() => {
      if (this.method === 'prepare') this.voted(answer);
      else if (this.method === 'commitOnePhase') this.decided(answer);
    });
  }

  failed(failure: Failure): void {
    this.end(() => {
      const { heuristic, name, message } = failure;
      if (heuristic !== undefined) {
        this.reported(heuristic, failure);
        return;
      }
      this.recordException(failure);
      this.fail(name ?? '_OTHER', message);
    });
  }

  timedOut(message: string): void {
    this.end(() => this.fail('timeout', message));
  }

  abandoned(): void {
    this.end(() => this.span.setAttribute(ATTRIBUTES.abandoned, true));
  }

  private voted(answer: Answer): void {
    if (answer instanceof Refused) this.refused(answer, ATTRIBUTES.vote);
    else if (typeof answer === 'string') this.span.setAttribute(ATTRIBUTES.vote, answer);
    else if (answer instanceof Expiring) {
      this.span.setAttributes({ [ATTRIBUTES.vote]: 'commit', [ATTRIBUTES.validFor]: answer.validForMs });
    } else this.fail('invalid_answer', `answered prepare with ${answer.description}, which is not a vote`);
  }

  private decided(answer: Answer): void {
    if (answer instanceof Refused) this.refused(answer, ATTRIBUTES.decision);
    else if (answer === 'commit') this.span.setAttribute(ATTRIBUTES.decision, answer);
    else {
      const description = describeUndecided(answer);
      this.fail('invalid_answer', `answered ${description}, which is neither commit nor abort`);
    }
  }

  /** A refusal is a regular answer, not an error. */
  private refused({ code, reason }: Refused, attribute: string): void {
    const attributes: Attributes = { [attribute]: 'abort', [ATTRIBUTES.refusalReason]: reason };
    if (code !== undefined) attributes[ATTRIBUTES.refusalCode] = code;
    this.span.setAttributes(attributes);
  }

  /** A report that agrees with the decision is not an error. */
  private reported(kind: HeuristicKind, failure: Failure): void {
    this.span.setAttribute(ATTRIBUTES.heuristic, kind);
    const isOneWay = kind === 'commit' || kind === 'rollback';
    if (kind === this.method || (this.method === 'commitOnePhase' && isOneWay)) return;
    this.recordException(failure);
    this.fail('heuristic', failure.message);
  }

  /** As texts, since spans are kept until they are exported, and errors may hold anything. */
  private recordException({ name, message, thrown }: Failure): void {
    const stack = stackOf(thrown);
    this.span.recordException({
      message,
      ...(name !== undefined && { name }),
      ...(stack !== undefined && { stack }),
    });
  }

  private fail(type: string, message: string): void {
    this.span.setAttribute(ATTRIBUTES.errorType, type);
    this.span.setStatus({ code: SpanStatusCode.ERROR, message });
  }

  /** Ends the span once, even if it cannot be described. */
  private end(describe: () => void): void {
    if (!this.open.delete(this)) return;
    this.guard.try(describe);
    this.guard.try(() => this.span.end());
  }
}
