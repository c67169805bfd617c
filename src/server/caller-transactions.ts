import { createHash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import {
  type BeginOnceOptions,
  CoordinatorMembers,
  CoordinatorStatus,
  InvalidRequestError,
  type KnownOutcome,
  NotActiveError,
  type Outcome,
  type PendingOutcome,
  type Transaction,
  TransactionManager,
  TransactionNotFoundError,
  branch,
} from '../coordinator/index.js';
import type { ServerCaller } from './access/server-access.js';
import { OtherMemberError, OtherRunError, TooManyWaitingError } from './errors.js';
import { canonicalJson, checkPayload } from './payload.js';
import { RequestMemory } from './request-memory.js';
import type { ResolvedServerLimits } from './server.options.js';
import {
  type BeginMessage,
  type BegunAnswer,
  CALLER_INTERFACE_VERSION,
  type DecisionAnswer,
  type EnlistMessage,
  type EnlistedAnswer,
  type GreetingAnswer,
  type KnownAnswer,
  type RollbackOnlyAnswer,
  type RunMessage,
  TRANSACTION_ID_PATTERN,
} from './wire/index.js';

/** The token of the limits. */
export const SERVER_LIMITS = Symbol('SERVER_LIMITS');

/** A request that must not be done twice. */
export interface KeyedCall {
  readonly caller: ServerCaller;
  readonly key: string;
  /** The run of the coordinator that the caller means; undefined for any. */
  readonly run: string | undefined;
  /** The id of the request that the transaction belongs to, for people. A repeat may have another one. */
  readonly requestId: string | undefined;
}

/** The lists of an answer are not read only. */
type BegunOutcome = NonNullable<BegunAnswer['outcome']>;

/** The transaction of an earlier request, with its known state. */
interface Begun {
  readonly answer: BegunAnswer;
  latest: Outcome;
}

const TRANSACTION_ID = new RegExp(TRANSACTION_ID_PATTERN);

/** How often a key is taken again whose transaction has aborted or is forgotten. */
const MAX_ATTEMPTS = 3;

/** The answer about an id that no coordinator has made: no log is asked. */
const FOREIGN = { status: 'unknown', because: 'foreign' } as const;

/**
 * Transactions for callers in other processes. A request that is repeated with its key is carried out once.
 */
@Injectable()
export class CallerTransactions {
  private readonly runs: RequestMemory<Outcome>;
  private readonly begun: RequestMemory<Begun>;
  private waiting = 0;

  constructor(
    private readonly transactions: TransactionManager,
    private readonly status: CoordinatorStatus,
    private readonly members: CoordinatorMembers,
    @Inject(SERVER_LIMITS) private readonly limits: ResolvedServerLimits,
  ) {
    this.runs = new RequestMemory(limits, ({ transactionId }) => transactionId);
    this.begun = new RequestMemory(limits, ({ answer }) => answer.transactionId);
  }

  greeting(): GreetingAnswer {
    const { name, logId, epoch } = this.status.view();
    return {
      version: CALLER_INTERFACE_VERSION,
      name,
      logId,
      epoch,
      run: `${logId}.${epoch}`,
      isShared: this.transactions.isShared,
      maxTimeoutMs: this.limits.maxTimeoutMs,
    };
  }

  /**
   * Runs a transaction from its start to its outcome. A caller that goes away cancels nothing: it asks again
   * with its key.
   *
   * @throws (as a rejection) what TransactionManager.run throws, RequestKeyReusedError, OtherRunError,
   * TooManyKeysError or TooManyWaitingError. Nothing was begun then by this request.
   */
  async run(call: KeyedCall, { branches, ...options }: RunMessage): Promise<Outcome> {
    this.checkCall(call, options.timeoutMs);
    for (const [index, { payload }] of branches.entries()) {
      checkPayload(payload, `branches.${index}.payload`, this.limits.maxPayloadBytes);
    }
    const requests = branches.map(({ participant, payload = null, branchId }) =>
      branch(participant, payload, branchId === undefined ? {} : { branchId }),
    );
    const key = keyOf(call);
    const fingerprint = fingerprintOf('run', { ...options, branches });
    const { isShared } = this.transactions;
    const request = { ...options, ...requestIdOf(call), key, fingerprint, branches: requests };
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.waitFor(() =>
        this.runs.once(key, fingerprint, async () => {
          const answer = told(await this.transactions.run(request));
          // If the transaction is open at another member, the log is asked again: only the log knows when the
          // key is free.
          return {
            answer,
            isKept: answer.status !== 'aborted' && !(isShared && answer.status === 'pending'),
          };
        }),
      );
      if (outcome.status !== 'pending') return outcome;
      const latest = await this.latest(outcome);
      if (latest !== undefined && latest.status !== 'aborted') return latest;
      this.runs.forget(key, outcome);
      // The coordinator knows the key for longer than the transaction.
      if (latest !== undefined || attempt === MAX_ATTEMPTS) return latest ?? outcome;
    }
  }

  /**
   * Begins a transaction. If it is abandoned, its time-out ends it. A repeat gets the id and the outcome of
   * the one that was begun, unless that has aborted. The members of a shared log know each other's keys.
   *
   * @throws (as a rejection) what TransactionManager.beginOnce throws, RequestKeyReusedError, OtherRunError
   * or TooManyKeysError.
   */
  async begin(call: KeyedCall, options: BeginMessage): Promise<BegunAnswer> {
    this.checkCall(call, options.timeoutMs);
    const key = keyOf(call);
    const fingerprint = fingerprintOf('begin', options);
    const { isShared } = this.transactions;
    for (let attempt = 1; ; attempt++) {
      let isBegunHere = false;
      const begun = await this.begun.once(key, fingerprint, async () => {
        isBegunHere = true;
        const answer = await this.beginOnce({ ...options, ...requestIdOf(call), key, fingerprint });
        // A shared log is asked again: only there it is known when the key is free.
        return { answer, isKept: !isShared };
      });
      const { transactionId } = begun.answer;
      if (isBegunHere) return begun.answer;
      const outcome = begun.latest.status === 'pending' ? await this.latest(begun.latest) : begun.latest;
      // The coordinator knows the key for longer than the transaction.
      const isAskedAgain = outcome === undefined || outcome.status === 'aborted';
      if (!isAskedAgain || attempt === MAX_ATTEMPTS)
        return { transactionId, repeated: true, outcome: (outcome ?? begun.latest) as BegunOutcome };
      this.begun.forget(key, begun);
    }
  }

  /** @returns where the member is reached that owns a transaction; null where that is not known. */
  async addressOf(id: string): Promise<string | null> {
    const owner = await this.members.ownerOf(id);
    if (owner.kind === 'member') return owner.address;
    const self = this.members.view().members.find((member) => member.self);
    return owner.kind === 'self' ? (self?.address ?? null) : null;
  }

  /**
   * @throws (as a rejection) what Transaction.enlist throws, TransactionNotFoundError or OtherMemberError.
   */
  async enlist(
    id: string,
    { participant, payload = null, branchId }: EnlistMessage,
  ): Promise<EnlistedAnswer> {
    checkPayload(payload, 'payload', this.limits.maxPayloadBytes);
    const transaction = this.attached(id);
    if (transaction === undefined) {
      const { status } = await this.ended(id);
      throw new NotActiveError(id, status);
    }
    return { transactionId: id, branchId: transaction.enlist(branch(participant, payload, { branchId })) };
  }

  /** @throws (as a rejection) TransactionNotFoundError, OtherMemberError or TooManyWaitingError. */
  commit(id: string): Promise<Outcome> {
    return this.end(id, (transaction) => transaction.commit());
  }

  /** @throws (as a rejection) TransactionNotFoundError, OtherMemberError or TooManyWaitingError. */
  rollback(id: string, reason?: string): Promise<Outcome> {
    return this.end(id, (transaction) => transaction.rollback(reason));
  }

  /** @throws (as a rejection) TransactionNotFoundError or OtherMemberError. */
  async rollbackOnly(id: string, reason?: string): Promise<RollbackOnlyAnswer> {
    const transaction = this.attached(id);
    if (transaction === undefined) {
      await this.ended(id);
      return { transactionId: id, isRollbackOnly: false };
    }
    transaction.setRollbackOnly(reason);
    return { transactionId: id, isRollbackOnly: transaction.isRollbackOnly };
  }

  /** @returns the known state of the transaction. Nothing of it is a guess. */
  async known(id: string): Promise<KnownAnswer> {
    let known = await this.outcomeOf(id);
    if (known.status === 'unknown') {
      const status = this.remembered(id)?.status;
      if (status === 'committed' || status === 'aborted') known = { transactionId: id, status };
    }
    return { ...known, view: (this.transactions.find(id) ?? null) as KnownAnswer['view'] };
  }

  /** @returns the decision for a participant in doubt. */
  async decision(id: string): Promise<DecisionAnswer> {
    // No coordinator has made it, so no member can say anything of it.
    const decision = TRANSACTION_ID.test(id) ? await this.transactions.decisionFor(id) : 'wait';
    return { transactionId: id, decision };
  }

  private async beginOnce(options: BeginOnceOptions): Promise<Begun> {
    const { transaction, earlier } = await this.transactions.beginOnce(options);
    if (transaction !== undefined) {
      const { id } = transaction;
      const latest = pendingOutcome(id, 'an earlier request has begun it');
      const begun: Begun = { answer: { transactionId: id }, latest };
      // It is never a rejection.
      void transaction.told.then((outcome) => (begun.latest = told(outcome)));
      return begun;
    }
    const before = told(earlier);
    const { transactionId } = before;
    // The log says that it is open, or was a moment ago. The member that has it knows more.
    const latest = before.status === 'pending' ? ((await this.latest(before)) ?? before) : before;
    return { answer: { transactionId, repeated: true, outcome: latest as BegunOutcome }, latest };
  }

  private async end(id: string, order: (transaction: Transaction) => Promise<Outcome>): Promise<Outcome> {
    const transaction = this.attached(id);
    if (transaction === undefined) return this.ended(id);
    return told(await this.waitFor(() => order(transaction)));
  }

  private attached(id: string): Transaction | undefined {
    return TRANSACTION_ID.test(id) ? this.transactions.attach(id) : undefined;
  }

  private outcomeOf(id: string): Promise<KnownOutcome> {
    if (TRANSACTION_ID.test(id)) return this.transactions.outcomeOf(id);
    return Promise.resolve({ transactionId: id, ...FOREIGN });
  }

  /** The outcome of a transaction that this process does not have in memory. */
  private async ended(id: string): Promise<Outcome> {
    // Another member would say that it is pending, but it alone can carry out what is asked here.
    const known = TRANSACTION_ID.test(id) ? await this.transactions.outcomeHere(id) : FOREIGN;
    switch (known.status) {
      case 'committed':
      case 'aborted':
        return finalOutcome(id, known.status);
      case 'pending':
        return pendingOutcome(id, 'it is not decided, or its decision is not known yet');
      case 'elsewhere':
        throw new OtherMemberError(id, { epoch: known.owner, address: known.address });
      case 'unknown': {
        if (known.because === 'log-unavailable')
          return pendingOutcome(id, 'the decision log cannot be asked now');
        if (known.because === 'undecidable')
          return pendingOutcome(id, 'the decision log may have lost the decision: an operator decides');
        const outcome = this.remembered(id);
        if (outcome === undefined) throw new TransactionNotFoundError(id);
        return outcome;
      }
    }
  }

  /** The outcome of a transaction whose key is remembered for longer than the transaction itself. */
  private remembered(id: string): Outcome | undefined {
    const outcome = this.begun.find(id)?.latest ?? this.runs.find(id);
    return outcome?.status === 'pending' ? endOf(outcome) : outcome;
  }

  /** The outcome of a transaction that was pending; undefined when this coordinator has forgotten it. */
  private async latest(outcome: PendingOutcome): Promise<Outcome | undefined> {
    const { transactionId: id } = outcome;
    const transaction = this.attached(id);
    if (transaction !== undefined) {
      // One that still takes branches was not begun by run(), and only its own caller asks for its commit.
      if (transaction.state === 'ACTIVE') return outcome;
      return told(await this.waitFor(() => transaction.commit()));
    }
    const known = await this.outcomeOf(id);
    if (known.status === 'committed' || known.status === 'aborted') return finalOutcome(id, known.status);
    if (known.status !== 'unknown' || known.because !== 'forgotten') return outcome;
    return endOf(outcome);
  }

  private checkCall({ run }: KeyedCall, timeoutMs: number | undefined): void {
    const { maxTimeoutMs } = this.limits;
    if (timeoutMs !== undefined && timeoutMs > maxTimeoutMs) {
      throw new InvalidRequestError('timeoutMs', `may be at most ${maxTimeoutMs} here, not ${timeoutMs}`);
    }
    if (run === undefined) return;
    const present = this.greeting();
    // Members of one log know the keys of each other, and of all their runs.
    if (!present.isShared && run !== present.run) throw new OtherRunError(run, present.run);
  }

  private async waitFor<T>(work: () => Promise<T>): Promise<T> {
    if (this.waiting >= this.limits.maxWaiting) throw new TooManyWaitingError(this.limits.maxWaiting);
    this.waiting++;
    try {
      return await work();
    } finally {
      this.waiting--;
    }
  }
}

/** Each caller has its own keys. The stored text has a length that does not depend on its name. */
function keyOf({ caller, key }: KeyedCall): string {
  const owner = createHash('sha256').update(caller.name).digest('base64url').slice(0, 16);
  return `${owner}:${key}`;
}

function requestIdOf({ requestId }: KeyedCall): { readonly requestId?: string } {
  return requestId === undefined ? {} : { requestId };
}

function fingerprintOf(kind: string, request: unknown): string {
  return createHash('sha256')
    .update(`${kind} ${canonicalJson(request)}`)
    .digest('base64url');
}

function finalOutcome(transactionId: string, status: 'committed' | 'aborted'): Outcome {
  if (status === 'committed') return { status, transactionId };
  const reason = 'it was aborted, and its cause is no longer known';
  return { status, transactionId, cause: 'presumed', reason };
}

/** The outcome of a transaction that was pending, and is forgotten now. */
function endOf(outcome: PendingOutcome): Outcome | undefined {
  // It is forgotten only after its end, and no decision is reversed.
  return outcome.decision === 'commit' ? finalOutcome(outcome.transactionId, 'committed') : undefined;
}

function pendingOutcome(transactionId: string, reason: string): PendingOutcome {
  return { status: 'pending', transactionId, decision: 'unknown', reason };
}

/**
 * The answer to another process. It has no error of a participant, which is for the log of the coordinator.
 * And it does not say whether the outcome is that of an earlier request with the key, since a repeat gets the
 * same answer.
 */
function told(outcome: Outcome): Outcome {
  const { repeated: _, ...answer } = outcome;
  if (answer.status !== 'aborted') return answer;
  const { error: __, ...rest } = answer;
  return rest;
}
