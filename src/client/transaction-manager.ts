import { AsyncLocalStorage } from 'node:async_hooks';
import { type OnApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import { InvalidRequestError, NoTransactionError } from '../coordinator/errors.js';
import type { KnownOutcome, Outcome } from '../coordinator/outcome.js';
import type { TransactionView } from '../coordinator/observation/transaction-view.js';
import type { BranchRequest } from '../coordinator/participant/branch-request.js';
import { REQUEST_ID } from '../coordinator/participant/caller-note.js';
import type { BeginOptions, TransactionRequest } from '../coordinator/participant/transaction-request.js';
import { TransactionScope } from '../coordinator/transaction-scope.js';
import {
  REQUEST_ID_HEADER,
  REQUEST_KEY_PATTERN,
  RUN_PATTERN,
  begunSchema,
  outcomeSchema,
} from '../server/wire/index.js';
import type { ResolvedClientOptions } from './client.options.js';
import { RequestOutcomeUnknownError } from './errors.js';
import { Members } from './members.js';
import { nameOf, sendable } from './requests.js';
import { type ClientParts, Transaction, knownIn } from './transaction.js';

/** The token of the resolved options. */
export const CLIENT_OPTIONS = Symbol('CLIENT_OPTIONS');

const REQUEST_KEY = new RegExp(REQUEST_KEY_PATTERN);
const RUN = new RegExp(RUN_PATTERN);

/** A transaction that is begun at a coordinator in another process. @publicApi */
export type RemoteBeginOptions = Omit<BeginOptions, 'signal'>;

/** A transaction that is begun once at a coordinator in another process. @publicApi */
export interface RemoteBeginOnceOptions extends RemoteBeginOptions {
  /**
   * As that of {@link RemoteTransactionRequest}; a request with another name, time-out or order is another
   * request.
   */
  readonly key: string;
  /** As that of {@link RemoteTransactionRequest}. */
  readonly ofRun?: string | undefined;
}

/**
 * The answer of `TransactionManager.beginOnce`: the transaction that was begun, or the outcome of the
 * transaction that an earlier request with the key has begun.
 *
 * @publicApi
 */
export type RemoteBegunOnce =
  | { readonly transaction: Transaction; readonly earlier?: never }
  | { readonly transaction?: never; readonly earlier: Outcome };

/** A transaction that is run at a coordinator in another process. @publicApi */
export interface RemoteTransactionRequest extends Omit<TransactionRequest, 'signal' | 'key' | 'fingerprint'> {
  /**
   * Names the request. A request that is sent again with the same key and content is not run again: it gets
   * the outcome of the first one. 1 to 128 visible ASCII characters.
   *
   * @default a new one
   */
  readonly key?: string;
  /**
   * The run of the coordinator that a request with this key was sent to before: that of
   * RequestOutcomeUnknownError, or `run` in the answer of `GET` at the address of a member. Another run
   * refuses the request, unless the members share a log: the outcome stays unknown then, and nothing is run
   * again. Without it the request counts as one that was never sent.
   *
   * @default the present run
   */
  readonly ofRun?: string | undefined;
}

/**
 * Runs transactions at a coordinator in another process: the methods are those of the TransactionManager of
 * `nestjs-dtc`, and those that ask the coordinator return a promise. A request goes to one of the members,
 * and to another one after a failure. It is not run twice while the coordinator keeps its key.
 *
 * @publicApi
 */
@Injectable()
export class TransactionManager implements OnApplicationShutdown {
  /** @internal */
  readonly scope = new TransactionScope<Transaction>();
  private readonly parts: ClientParts;

  /** @internal */
  constructor(@Inject(CLIENT_OPTIONS) options: ResolvedClientOptions) {
    this.parts = { members: new Members(options), ambient: new AsyncLocalStorage() };
  }

  /**
   * Runs one transaction from its start to its outcome.
   *
   * @returns the outcome: `pending` where it is not known in time.
   * @throws (as a rejection) InvalidRequestError, CoordinatorRefusedError or CoordinatorUnreachableError:
   * nothing was begun. RequestOutcomeUnknownError where it may have been run and its id is not known: call it
   * again with the key and the `ofRun` of the error. It also comes for a given key where the coordinator was
   * restarted, and its log is not shared.
   */
  async run({ branches, key, ofRun, ...request }: RemoteTransactionRequest): Promise<Outcome> {
    checkKey(key, ofRun);
    const body = {
      ...beginBody(request),
      branches: (branches as readonly BranchRequest[]).map(branchBody),
    };
    const asked = { method: 'POST', path: '/run', body, headers: originHeaders(request) } as const;
    const answer = await this.parts.members.once(asked, { key, ofRun });
    const outcome = outcomeSchema.safeParse(answer.body).data;
    if (outcome === undefined)
      throw new RequestOutcomeUnknownError(
        answer.key,
        `${answer.member.address} gives no outcome`,
        answer.ofRun,
      );
    return outcome;
  }

  /**
   * Begins a transaction whose branches are enlisted one by one. It belongs to the member that has begun it.
   *
   * @throws (as a rejection) as {@link run}; an abandoned transaction ends by its time-out.
   */
  async begin(options: RemoteBeginOptions = {}): Promise<Transaction> {
    const body = beginBody(options);
    const { member, body: answer } = await this.parts.members.once({
      method: 'POST',
      path: '/transactions',
      body,
      headers: originHeaders(options),
    });
    const { transactionId } = begunSchema.parse(answer);
    return new Transaction(transactionId, options.name ?? 'transaction', member, this.parts);
  }

  /**
   * Begins a transaction as {@link begin} does, for a request that must not run twice.
   *
   * @returns the transaction, or the outcome of the one that an earlier request with the key has begun:
   * `pending` while it is open. It is also `pending` where the answer to this request itself was lost, until
   * the transaction that no code uses has timed out.
   * @throws (as a rejection) as {@link run}.
   */
  async beginOnce({ key, ofRun, ...options }: RemoteBeginOnceOptions): Promise<RemoteBegunOnce> {
    if (key === undefined) throw new InvalidRequestError('key', 'is needed: begin() takes none');
    checkKey(key, ofRun);
    const headers = originHeaders(options);
    const request = { method: 'POST', path: '/transactions', body: beginBody(options), headers } as const;
    const { member, body } = await this.parts.members.once(request, { key, ofRun });
    const { transactionId, outcome } = begunSchema.parse(body);
    if (outcome !== undefined) return { earlier: { ...outcome, repeated: true } };
    const name = options.name ?? 'transaction';
    return { transaction: new Transaction(transactionId, name, member, this.parts) };
  }

  /**
   * A transaction that another service has begun, by its id.
   *
   * @internal
   */
  join(transactionId: string): Transaction {
    return new Transaction(transactionId, '', undefined, this.parts);
  }

  /** The transaction for which the calling code runs; undefined outside any, and after its end. */
  current(): Transaction | undefined {
    const transaction = this.parts.ambient.getStore();
    if (transaction === undefined || this.scope.hides(transaction)) return undefined;
    return isOver(transaction) ? undefined : transaction;
  }

  /**
   * The current transaction, or one that has ended while the decorated method that began it still runs.
   *
   * @internal
   */
  enclosing(): Transaction | undefined {
    return this.current() ?? this.scope.enclosing;
  }

  /**
   * Adds a branch to the {@link current} transaction.
   *
   * @returns the id of the branch.
   * @throws (as a rejection) NoTransactionError when there is none; otherwise as Transaction.enlist.
   */
  async enlist<P>(request: BranchRequest<P>): Promise<string> {
    const transaction = this.enclosing();
    if (transaction === undefined) throw new NoTransactionError('TransactionManager.enlist()');
    return transaction.enlist(request);
  }

  /**
   * @returns the present state of a transaction; undefined where the member that answers does not have it in
   * memory.
   * @throws (as a rejection) CoordinatorRefusedError.
   */
  async find(transactionId: string): Promise<TransactionView | undefined> {
    const known = await this.known(transactionId);
    return (known?.view ?? undefined) as TransactionView | undefined;
  }

  /**
   * Finds the outcome of a transaction, whichever member has begun it.
   *
   * @returns the known outcome; `unknown` because of `log-unavailable` where no member answers. Nothing of
   * it is a guess.
   * @throws (as a rejection) CoordinatorRefusedError.
   */
  async outcomeOf(transactionId: string): Promise<KnownOutcome> {
    const known = await this.known(transactionId);
    if (known === undefined) return { transactionId, status: 'unknown', because: 'log-unavailable' };
    const { view: _, ...outcome } = known;
    return outcome as KnownOutcome;
  }

  /** Ends the connections to the members. */
  onApplicationShutdown(): void {
    this.parts.members.close();
  }

  private async known(transactionId: string): Promise<ReturnType<typeof knownIn>> {
    const path = `/transactions/${encodeURIComponent(transactionId)}`;
    return knownIn((await this.parts.members.any({ method: 'GET', path }))?.body);
  }
}

/** @throws InvalidRequestError */
function checkKey(key: string | undefined, ofRun: string | undefined): void {
  if (key !== undefined && (typeof key !== 'string' || !REQUEST_KEY.test(key)))
    throw new InvalidRequestError('key', 'must be 1 to 128 visible ASCII characters');
  if (ofRun !== undefined && (key === undefined || !RUN.test(ofRun)))
    throw new InvalidRequestError('ofRun', 'must be the run that a coordinator has told, beside a key');
}

function isOver({ state }: Transaction): boolean {
  return state === 'COMMITTED' || state === 'ABORTED';
}

function branchBody({ participant, payload, branchId }: BranchRequest, index: number): object {
  const body = { participant: nameOf(participant), payload: sendable(payload, `branches[${index}].payload`) };
  return branchId === undefined ? body : { ...body, branchId };
}

/**
 * @returns the headers with the id of the request. It is none of the content, so that a repeat with the same
 * key may have another one.
 * @throws InvalidRequestError
 */
function originHeaders({ requestId }: RemoteBeginOptions): Record<string, string> {
  if (requestId === undefined) return {};
  if (typeof requestId !== 'string' || !REQUEST_ID.test(requestId))
    throw new InvalidRequestError('requestId', 'must be 1 to 200 visible ASCII characters');
  return { [REQUEST_ID_HEADER]: requestId };
}

function beginBody({
  name,
  timeoutMs,
  prepareInTurn,
  attributes,
}: RemoteBeginOptions): Record<string, unknown> {
  return {
    ...(name !== undefined && { name }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(prepareInTurn !== undefined && { prepareInTurn }),
    ...(attributes !== undefined && { attributes }),
  };
}
