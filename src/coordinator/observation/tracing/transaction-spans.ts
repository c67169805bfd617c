import {
  type Attributes,
  type Context,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import type { GroupNote } from '../../execution/group-fields.js';
import type { TransactionRecord } from '../../execution/records.js';
import type { ParticipantMethod, TransactionTrace } from '../../execution/trace.js';
import type { Outcome } from '../../outcome.js';
import type { Branch } from '../../participant/participant.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';
import { Branches, State, heuristicOutcome, isAbort } from '../../protocol/index.js';
import { ATTRIBUTES } from './attributes.js';
import { CallSpan } from './call-span.js';
import type { SpanNames } from './span-names.js';
import type { TracerGuard } from './tracer-guard.js';

/** The collaborators of the spans. */
export interface SpanParts {
  readonly tracer: Tracer;
  readonly names: SpanNames;
  readonly guard: TracerGuard;
}

/** Aborts that were requested. All others are failures. */
const WANTED: ReadonlySet<string> = new Set(['refused', 'cancelled', 'rolled-back', 'rollback-only']);

/**
 * The spans of one transaction. Its own span covers the time from its start to its end, or until its duration
 * becomes open: the caller is told that it is pending, or a branch is stalled. Work at a participant is a
 * child of that span while it is open. Afterwards it is the root of a trace of its own that links to it.
 */
export class TransactionSpans implements TransactionTrace {
  private span: Span | undefined = undefined;
  private decision: Span | undefined = undefined;
  /** The caller's context, with the span as the active one. */
  private context: Context = ROOT_CONTEXT;
  private links: Link[] = [];
  private readonly open = new Set<CallSpan>();

  /** @param origin the span that the transaction had in another run of its coordinator, if that is known. */
  constructor(
    private readonly transaction: TransactionRecord,
    private readonly parts: SpanParts,
    origin?: SpanContext,
  ) {
    if (origin !== undefined) this.links = [{ context: origin }];
  }

  /**
   * @param parent the context in which the transaction was begun.
   * @returns the context of its span.
   */
  begin(parent: Context): SpanContext {
    const { tracer, names } = this.parts;
    const { id, name, extras } = this.transaction;
    const attributes: Record<string, string> = {
      [ATTRIBUTES.transactionId]: id,
      [ATTRIBUTES.transactionName]: name,
    };
    for (const [key, value] of Object.entries(extras?.attributes ?? {}))
      attributes[`${ATTRIBUTES.ofCaller}${key}`] = value;
    const span = tracer.startSpan(names.ofTransaction(name), { attributes }, parent);
    this.context = trace.setSpan(parent, span);
    const own = span.spanContext();
    this.links = [{ context: own }];
    this.span = span;
    return own;
  }

  run<T>(work: () => T): T {
    return this.span === undefined ? work() : this.parts.guard.within(this.context, work);
  }

  calling(
    participant: RegisteredParticipant,
    method: ParticipantMethod,
    branch: Branch,
  ): CallSpan | undefined {
    const { guard } = this.parts;
    return guard.try(() => {
      // A branch has one running call: a call that was given up is overtaken by the next.
      this.abandon((call) => call.branch.branchId === branch.branchId);
      const span = this.start(this.parts.names.ofCall(method, participant.name), {
        [ATTRIBUTES.participant]: participant.name,
        [ATTRIBUTES.branchId]: branch.branchId,
        ...(branch.attempt > 0 && { [ATTRIBUTES.attempt]: branch.attempt }),
        [ATTRIBUTES.functionName]: `${participant.className}.${method}`,
      });
      return new CallSpan(branch, method, span, trace.setSpan(this.context, span), guard, this.open);
    });
  }

  timedOut(branch: Branch, message: string): void {
    for (const call of this.open) if (call.branch === branch) call.timedOut(message);
  }

  entered(): void {
    const { state, yes } = this.transaction;
    // Without a vote for commit there is no record: all branches only read, or a single branch decides.
    if (state === State.READY && yes !== Branches.NONE) this.recording();
    else if (state === State.COMMITTING || state === State.ABORTING) this.decided();
  }

  grouped({ id, size, runs }: GroupNote, group: TransactionTrace | undefined): void {
    this.describe((span) => {
      span.setAttributes({
        [ATTRIBUTES.groupId]: id,
        [ATTRIBUTES.groupSize]: size,
        [ATTRIBUTES.groupRuns]: runs,
      });
      if (group instanceof TransactionSpans) span.addLinks(group.links);
    });
  }

  told(outcome: Outcome): void {
    this.describe((span) => {
      span.setAttribute(ATTRIBUTES.outcome, outcome.status);
      if (outcome.status === 'aborted') {
        const { cause, participant, code, reason } = outcome;
        span.setAttribute(ATTRIBUTES.abortCause, cause);
        span.setAttribute(ATTRIBUTES.abortReason, reason);
        if (participant !== undefined) span.setAttribute(ATTRIBUTES.abortParticipant, participant);
        if (code !== undefined) span.setAttribute(ATTRIBUTES.abortCode, code);
        if (!WANTED.has(cause)) fail(span, cause, reason);
      } else if (outcome.status === 'pending') fail(span, 'pending', outcome.reason);
    });
    if (outcome.status !== 'pending') return;
    this.endDecision((span) => fail(span, 'in_doubt', outcome.reason));
    this.end();
  }

  stalled(participant: RegisteredParticipant, message: string): void {
    this.describe((span) => fail(span, 'stalled', `${participant.name} is stalled: ${message}`));
    this.end();
  }

  ended(): void {
    this.abandon(() => true);
    const heuristic = heuristicOutcome(this.transaction);
    if (heuristic !== undefined) {
      this.describe((span) => {
        span.setAttribute(ATTRIBUTES.heuristic, heuristic);
        fail(span, 'heuristic', `a participant ended otherwise than decided: ${heuristic}`);
      });
    }
    this.end();
  }

  /** Runs until the record of the decision is durable. */
  private recording(): void {
    this.parts.guard.try(() => {
      this.decision = this.start('decision', {});
    });
  }

  private decided(): void {
    const { branches, state, extras } = this.transaction;
    const decision = isAbort(state) ? 'abort' : 'commit';
    this.endDecision((span) => {
      span.setAttribute(ATTRIBUTES.decision, decision);
      const unknown = extras?.incidents.findLast(({ type }) => type === 'record-unknown');
      if (decision === 'abort') fail(span, 'not-recorded', unknown?.message ?? 'the log did not take it');
    });
    this.describe((span) => {
      span.setAttribute(ATTRIBUTES.decision, decision);
      span.addEvent('decided', { [ATTRIBUTES.decision]: decision });
    });
    if (decision === 'commit') return;
    // No prepare is awaited after an abort. The late ones have been named before.
    for (const branch of branches) {
      if (branch.refusal !== undefined) this.timedOut(branch, branch.refusal.reason);
    }
    this.abandon(({ method }) => method === 'prepare');
  }

  private start(name: string, own: Attributes): Span {
    const { id, name: transactionName } = this.transaction;
    const attributes = {
      [ATTRIBUTES.transactionId]: id,
      [ATTRIBUTES.transactionName]: transactionName,
      ...own,
    };
    return this.span === undefined
      ? this.parts.tracer.startSpan(name, { attributes, links: this.links }, ROOT_CONTEXT)
      : this.parts.tracer.startSpan(name, { attributes }, this.context);
  }

  private abandon(isMeant: (call: CallSpan) => boolean): void {
    for (const call of this.open) if (isMeant(call)) call.abandoned();
  }

  private describe(describe: (span: Span) => void): void {
    const { span } = this;
    if (span !== undefined) this.parts.guard.try(() => describe(span));
  }

  private endDecision(describe: (span: Span) => void): void {
    const { decision } = this;
    if (decision === undefined) return;
    this.decision = undefined;
    this.parts.guard.try(() => describe(decision));
    this.parts.guard.try(() => decision.end());
  }

  /** Ends the span and drops the caller's context, which may hold a whole request. */
  private end(): void {
    const { span } = this;
    if (span === undefined) return;
    this.span = undefined;
    this.context = ROOT_CONTEXT;
    this.parts.guard.try(() => span.end());
  }
}

function fail(span: Span, type: string, message: string): void {
  span.setAttribute(ATTRIBUTES.errorType, type);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}
