import { randomBytes } from 'node:crypto';
import type { AsyncLocalStorage } from 'node:async_hooks';
import { InvalidRequestError, NotActiveError } from '../coordinator/errors.js';
import type { Outcome } from '../coordinator/outcome.js';
import type { BranchRequest } from '../coordinator/participant/branch-request.js';
import type { TransactionState } from '../coordinator/protocol/states.js';
import { enlistedSchema, knownSchema, outcomeSchema } from '../server/wire/index.js';
import { CoordinatorRefusedError } from './errors.js';
import type { Member } from './member.js';
import type { Members } from './members.js';
import { nameOf, sendable } from './requests.js';

/** The most bytes of the name of a participant and the id of a branch together. */
const MAX_QUALIFIER_BYTES = 64;
const SUFFIX_BYTES = 6;

/** The state that the client shares with its transactions. */
export interface ClientParts {
  readonly members: Members;
  readonly ambient: AsyncLocalStorage<Transaction>;
}

/**
 * A transaction at a coordinator in another process: begun by this service, or carried to it with a request.
 * If it is abandoned, its deadline aborts it.
 *
 * @publicApi
 */
export class Transaction {
  private ending: Promise<Outcome> | undefined;
  private ended: Outcome | undefined;
  private rollbackOnly = false;
  private rollbackOnlyReason: string | undefined;

  /** @internal */
  constructor(
    /** Its id, as the coordinator has given it. */
    readonly id: string,
    /** Its purpose, as the caller named it; '' where another service has begun it. */
    readonly name: string,
    /** The member that has begun it; undefined where that is not known. */
    private readonly owner: Member | undefined,
    private readonly parts: ClientParts,
  ) {}

  /** Its state as far as this service knows it. Another service may have ended it. */
  get state(): TransactionState {
    if (this.ended === undefined) return this.ending === undefined ? 'ACTIVE' : 'PREPARING';
    switch (this.ended.status) {
      case 'committed':
        return 'COMMITTED';
      case 'aborted':
        return 'ABORTED';
      case 'heuristic':
        return this.ended.decision === 'commit' ? 'COMMITTED' : 'ABORTED';
      case 'pending':
        return this.ended.decision === 'commit' ? 'COMMITTING' : 'READY';
    }
  }

  /** Whether this service has ruled commit out. */
  get isRollbackOnly(): boolean {
    return this.rollbackOnly;
  }

  /**
   * Adds a branch. Its participant is called after the request for commit or rollback.
   *
   * @returns the id of the branch.
   * @throws (as a rejection) InvalidRequestError, NotActiveError, or CoordinatorRefusedError with the code of
   * the coordinator. Where no answer came the branch may have been added, so the transaction can only be
   * rolled back then.
   */
  async enlist<P>(request: BranchRequest<P>): Promise<string> {
    if (this.ending !== undefined) throw new NotActiveError(this.id, this.state);
    if (this.rollbackOnly) throw new NotActiveError(this.id, 'rollback-only');
    const participant = nameOf(request.participant);
    const payload = sendable(request.payload, 'payload');
    const branchId = request.branchId ?? newBranchId(participant);
    const path = `${this.path}/branches`;
    const answer = await this.parts.members.any(
      { method: 'POST', path, body: { participant, branchId, payload } },
      this.owner,
    );
    const enlisted = enlistedSchema.safeParse(answer?.body).data;
    if (enlisted !== undefined) return enlisted.branchId;
    this.ruleOut('it is not known whether a branch was added');
    throw new CoordinatorRefusedError(
      'DTC_OUTCOME_UNKNOWN',
      503,
      `It is not known whether the branch of "${participant}" was added to ${this.id}, so the transaction can only be rolled back.`,
    );
  }

  /**
   * Rules commit out, here and at the coordinator.
   *
   * @param reason a text for the outcome. At most 300 characters of it are kept.
   */
  async setRollbackOnly(reason?: string): Promise<void> {
    this.ruleOut(reason);
    const body = reason === undefined ? {} : { reason: reason.slice(0, 300) };
    await this.parts.members.any({ method: 'POST', path: `${this.path}/rollback-only`, body }, this.owner);
  }

  /**
   * Asks for commit. A repeat, or a call after a rollback, returns the one outcome of the transaction.
   *
   * @returns the outcome: `pending` where no member knows it in time, with the `code` of a refusal. It is
   * never a rejection.
   */
  commit(): Promise<Outcome> {
    this.ending ??= this.rollbackOnly ? this.end('rollback', this.rollbackOnlyReason) : this.end('commit');
    return this.ending;
  }

  /**
   * Asks for rollback of every branch. If commit is already decided, the outcome shows it.
   *
   * @param reason a text for the outcome. At most 300 characters of it are kept.
   */
  rollback(reason?: string): Promise<Outcome> {
    this.ending ??= this.end('rollback', reason);
    return this.ending;
  }

  /** Runs `work`, and everything that it awaits, with this as the ambient transaction. */
  run<T>(work: () => T): T {
    return this.parts.ambient.run(this, work);
  }

  private ruleOut(reason: string | undefined): void {
    if (!this.rollbackOnly) this.rollbackOnlyReason = reason;
    this.rollbackOnly = true;
  }

  private get path(): string {
    return `/transactions/${encodeURIComponent(this.id)}`;
  }

  private async end(how: 'commit' | 'rollback', reason?: string): Promise<Outcome> {
    const outcome = await this.outcomeOf(how, reason);
    this.ended = outcome;
    return outcome;
  }

  private async outcomeOf(how: 'commit' | 'rollback', reason: string | undefined): Promise<Outcome> {
    const { members } = this.parts;
    const body = reason === undefined ? {} : { reason: reason.slice(0, 300) };
    try {
      const answer = await members.any({ method: 'POST', path: `${this.path}/${how}`, body }, this.owner);
      const outcome = outcomeSchema.safeParse(answer?.body).data;
      if (outcome?.transactionId === this.id) return outcome;
      return this.unknown('no member of the coordinator has answered in time');
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'the coordinator has refused';
      return this.unknown(reason, error instanceof CoordinatorRefusedError ? error.code : undefined);
    }
  }

  private unknown(reason: string, code?: string): Outcome {
    const outcome = { status: 'pending', transactionId: this.id, decision: 'unknown', reason } as const;
    return code === undefined ? outcome : { ...outcome, code };
  }
}

/** @returns what an answer of the coordinator says about a transaction, in the words of an outcome. */
export function knownIn(body: unknown): ReturnType<typeof knownSchema.parse> | undefined {
  return knownSchema.safeParse(body).data;
}

/** Two services may add branches of one participant at the same time, so a number would not do. */
function newBranchId(participant: string): string {
  const id = `${participant}.${randomBytes(SUFFIX_BYTES).toString('hex')}`;
  if (participant.length + id.length <= MAX_QUALIFIER_BYTES) return id;
  const short = randomBytes(SUFFIX_BYTES).toString('hex');
  if (participant.length + short.length <= MAX_QUALIFIER_BYTES) return short;
  throw new InvalidRequestError('participant', 'has a name that is too long');
}
