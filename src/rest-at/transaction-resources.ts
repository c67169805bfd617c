import { createHash } from 'node:crypto';
import { HttpStatus, UnsupportedMediaTypeException } from '@nestjs/common';
import {
  type BranchView,
  type CoordinatorStatus,
  InvalidRequestError,
  NotActiveError,
  type Outcome,
  type ParticipantRegistry,
  type Transaction,
  type TransactionManager,
  TransactionNotFoundError,
  type TransactionSummary,
  type TransactionView,
  branch,
  idPrefixOf,
} from '../coordinator/index.js';
import { ProblemException } from '../operations/problem/problem.js';
import { type BranchAddresses, ONE_PHASE_NAME, TWO_PHASE_NAME } from './addresses.js';
import { type ParticipantLinks, areSame, checkedUrl, linkHeader, linksIn, participantIn } from './links.js';
import type { ResolvedRestAtOptions } from './options.js';
import { type Reply, askLater, statusReply } from './reply.js';
import { isOnePhase } from './rest-at-participant.js';
import { type Status, statusIn, statusOf, statusOfKind, statusOfOutcome } from './status.js';
import type { VolatileParticipants } from './volatile-participants.js';
import { type Counts, XML_TYPE, managerXml, statisticsXml, transactionXml } from './xml.js';

/** The name of the transactions that are begun here. Those of others cannot be reached here. */
const NAME = 'rest-at';
const LIST_TYPE = 'application/txlist';
/** The most pages of a list, of 1,000 transactions each. */
const MAX_PAGES = 10;
/** The id of a transaction, as any coordinator makes it. */
const TRANSACTION_ID = /^[a-z][a-z0-9-]{0,31}(\.[0-9a-z]{1,16}){3}$/;

/** The requests of a client about a transaction. */
const ORDERS = ['TransactionCommitted', 'TransactionRolledBack', 'TransactionRollbackOnly'] as const;
type Order = (typeof ORDERS)[number];

interface ResourceParts {
  readonly transactions: TransactionManager;
  readonly status: CoordinatorStatus;
  readonly registry: ParticipantRegistry;
  readonly addresses: BranchAddresses;
  readonly volatiles: VolatileParticipants;
  readonly options: ResolvedRestAtOptions;
}

/**
 * The resources of transactions, for clients and for participants that enlist. Each takes the URL before all
 * resources as `base`.
 */
export class TransactionResources {
  /** The transactions whose volatile participants are asked, or whose outcome is awaited. */
  private readonly finishing = new Set<string>();

  constructor(private readonly parts: ResourceParts) {}

  /**
   * @param timeout as the client has sent it; undefined or 0 for none.
   * @throws InvalidRequestError, and what TransactionManager.begin throws. Nothing was begun then.
   */
  begin(timeout: string | undefined, base: string): Reply {
    const { maxTimeoutMs } = this.parts.options.limits;
    if (timeout !== undefined && !/^\d{1,15}$/.test(timeout))
      throw new InvalidRequestError('timeout', 'must be a whole number of milliseconds, and 0 for none');
    const asked = Number(timeout ?? 0);
    const timeoutMs = asked === 0 ? maxTimeoutMs : Math.min(asked, maxTimeoutMs);
    const { id } = this.parts.transactions.begin({ name: NAME, timeoutMs });
    const url = urlOf(base, id);
    return { code: HttpStatus.CREATED, headers: { Location: url, Link: linksOf(url) } };
  }

  /** @throws UnsupportedMediaTypeException for a form that this list does not have. */
  list(accept: string | undefined, base: string): Reply {
    const type = chosen(accept, [LIST_TYPE, XML_TYPE]);
    const urls = this.running().map(({ transactionId }) => urlOf(base, transactionId));
    const headers = { Link: linkHeader({ statistics: `${base}/transaction-manager/statistics` }) };
    if (type === LIST_TYPE) return { code: HttpStatus.OK, type, body: urls.join(','), headers };
    const { startedAt } = this.parts.status.view();
    return { code: HttpStatus.OK, type, body: managerXml(startedAt, this.counts(), urls), headers };
  }

  statistics(): Reply {
    return { code: HttpStatus.OK, type: XML_TYPE, body: statisticsXml(this.counts()) };
  }

  /**
   * Only the links of a transaction.
   *
   * @throws (as a rejection) what {@link TransactionResources.elsewhere} throws.
   */
  async head(id: string, base: string): Promise<Reply> {
    const view = this.viewOf(id);
    if (view === undefined) return this.elsewhere(id);
    if (view.endedAt !== null) return gone(view);
    return { code: HttpStatus.OK, headers: { Link: linksOf(urlOf(base, id)) } };
  }

  /**
   * @throws (as a rejection) UnsupportedMediaTypeException, and what {@link TransactionResources.elsewhere}
   * throws.
   */
  async show(id: string, accept: string | undefined, base: string): Promise<Reply> {
    const type = chosen(accept, ['application/txstatus', XML_TYPE]);
    const view = this.viewOf(id);
    if (view === undefined) return this.elsewhere(id);
    if (view.endedAt !== null) return gone(view);
    const headers = { Link: linksOf(urlOf(base, id)) };
    if (type !== XML_TYPE) return statusReply(HttpStatus.OK, this.statusOf(view), headers);
    return { code: HttpStatus.OK, type, body: this.xmlOf(view, base), headers };
  }

  /**
   * Ends a transaction, or rules its commit out.
   *
   * @throws (as a rejection) InvalidRequestError for another order, and what {@link
   * TransactionResources.elsewhere} throws.
   */
  async terminate(id: string, body: string, base: string): Promise<Reply> {
    const status = statusIn(body);
    const order = ORDERS.find((known) => known === status);
    if (order === undefined)
      throw new InvalidRequestError(
        'txstatus',
        `must be one of ${ORDERS.join(', ')}, in a body of application/txstatus`,
      );
    const view = this.viewOf(id);
    if (view === undefined) return this.elsewhere(id, urlOf(base, id));
    const transaction = this.parts.transactions.attach(id);
    if (transaction?.state !== 'ACTIVE' || this.finishing.has(id)) return this.tooLate(view, order, base);
    if (order === 'TransactionRollbackOnly') {
      transaction.setRollbackOnly('a client of REST-AT has ruled commit out');
      return statusReply(HttpStatus.OK, order);
    }
    this.finishing.add(id);
    try {
      return await this.told(await this.end(transaction, order), base);
    } finally {
      this.finishing.delete(id);
    }
  }

  /**
   * Adds a participant, once.
   *
   * @param link the header of that name.
   * @throws (as a rejection) InvalidRequestError for links that are missing, wrong, or others than before,
   * AddressRefusedError, what Transaction.enlist throws, and what {@link TransactionResources.elsewhere}
   * throws. Nothing was enlisted then.
   */
  async enlist(id: string, link: string | undefined, base: string): Promise<Reply> {
    const view = this.viewOf(id);
    if (view === undefined) return this.elsewhere(id);
    const given = linksIn(link ?? '');
    const links = participantIn(given, this.parts.options.allow);
    if (links === undefined) checkedUrl('participant', undefined, this.parts.options.allow);
    const volatile = given.get('volatile-participant');
    const volatileUrl = volatile && checkedUrl('volatile-participant', volatile, this.parts.options.allow);
    const transaction = this.parts.transactions.attach(id);
    const isRefused = volatileUrl !== undefined && this.finishing.has(id);
    if (transaction?.state !== 'ACTIVE' || isRefused) return this.notActive(view);
    if (volatileUrl !== undefined) this.parts.volatiles.checkRoom(id, volatileUrl);
    try {
      const enlistment = await this.enlisted(transaction, links!);
      if (volatileUrl !== undefined) this.parts.volatiles.add(id, volatileUrl);
      return {
        code: HttpStatus.CREATED,
        headers: { Location: `${base}/recovery-coordinator/${id}/${enlistment}` },
      };
    } catch (error) {
      if (error instanceof NotActiveError) return this.notActive(view);
      throw error;
    }
  }

  /** @throws (as a rejection) as {@link TransactionResources.enlist}. */
  async enlistVolatile(id: string, link: string | undefined): Promise<Reply> {
    const view = this.viewOf(id);
    if (view === undefined) return this.elsewhere(id);
    const { allow } = this.parts.options;
    const url = checkedUrl('volatile-participant', linksIn(link ?? '').get('volatile-participant'), allow);
    const transaction = this.parts.transactions.attach(id);
    const isOpen = transaction?.state === 'ACTIVE' && !transaction.isRollbackOnly && !this.finishing.has(id);
    if (!isOpen) return this.notActive(view);
    this.parts.volatiles.add(id, url);
    return { code: HttpStatus.OK };
  }

  /**
   * Tells the volatile participants of transactions that have ended without a client: by their time-outs, or
   * by an operator.
   */
  async tellVolatiles(): Promise<void> {
    const { volatiles } = this.parts;
    await Promise.all(volatiles.transactions.map((id) => this.tellVolatilesOf(id)));
  }

  private async tellVolatilesOf(id: string): Promise<void> {
    if (this.finishing.has(id)) return;
    const view = this.parts.transactions.find(id);
    const isFinal = view === undefined || view.endedAt !== null || view.decision === 'abort';
    if (!isFinal) return;
    const status = view === undefined ? 'TransactionStatusUnknown' : statusOfDecision(view);
    await this.parts.volatiles.after(id, status, this.completionTimeoutMs);
  }

  private async end(transaction: Transaction, order: Order): Promise<Outcome> {
    const { id } = transaction;
    if (order === 'TransactionRolledBack')
      return transaction.rollback('a client of REST-AT has asked for it');
    if (!transaction.isRollbackOnly && !(await this.volatilesAgree(id))) {
      return transaction.rollback('a volatile participant has not agreed');
    }
    return transaction.commit();
  }

  private volatilesAgree(id: string): Promise<boolean> {
    const { registry, transactions, volatiles } = this.parts;
    const { prepareTimeoutMs } = registry.get(ONE_PHASE_NAME).options;
    const deadlineAt = transactions.find(id)?.deadlineAt;
    const timeLeftMs = deadlineAt === undefined ? 0 : Date.parse(deadlineAt) - Date.now();
    return volatiles.before(id, Math.min(prepareTimeoutMs, timeLeftMs));
  }

  /** The answer to the client that has ended a transaction. */
  private async told(outcome: Outcome, base: string): Promise<Reply> {
    const { transactionId: id } = outcome;
    const status = statusOfOutcome(outcome);
    if (status === undefined) return this.pending(this.viewOf(id), urlOf(base, id));
    await this.parts.volatiles.after(id, status, this.completionTimeoutMs);
    return statusReply(HttpStatus.OK, status);
  }

  /** The transaction was ended before, or is being ended. */
  private tooLate(view: TransactionView, order: Order, base: string): Reply {
    if (view.endedAt !== null) return gone(view);
    if (view.decision === 'abort' && order !== 'TransactionRollbackOnly')
      return statusReply(HttpStatus.OK, 'TransactionRolledBack');
    const mayCommit = view.decision === 'commit' || view.inDoubt;
    if (mayCommit && order === 'TransactionCommitted')
      return this.pending(view, urlOf(base, view.transactionId));
    return this.notActive(view);
  }

  /** The outcome is not known yet, or commit is decided and not delivered everywhere. */
  private pending(view: TransactionView | undefined, url: string): Reply {
    const status = view === undefined ? 'TransactionStatusUnknown' : this.statusOf(view);
    return statusReply(HttpStatus.ACCEPTED, status, { Location: url });
  }

  private notActive({ transactionId }: TransactionView): Reply {
    const view = this.parts.transactions.find(transactionId);
    const status = view === undefined ? 'TransactionStatusUnknown' : this.statusOf(view);
    return statusReply(HttpStatus.PRECONDITION_FAILED, status);
  }

  /** @returns the id of the enlistment. A participant that enlists once more gets the one that it has. */
  private async enlisted(transaction: Transaction, links: ParticipantLinks): Promise<string> {
    const { addresses } = this.parts;
    // One that has moved keeps the id that was made of its former address.
    const known = addresses.all(transaction.id).find((one) => one.links.participant === links.participant);
    const branchId = known?.branchId ?? idFor(links);
    const before = known ?? addresses.find(transaction.id, branchId);
    if (before === undefined) {
      const participant = isOnePhase(links) ? ONE_PHASE_NAME : TWO_PHASE_NAME;
      return transaction.enlist(branch(participant, { links }, { branchId }));
    }
    // One that has moved is known by its former address as well.
    const isSame = areSame(before.links, links) || before.links.participant !== links.participant;
    if (!isSame || isOnePhase(before.links) !== isOnePhase(links))
      throw new InvalidRequestError('Link', 'names a participant that is enlisted with other links');
    if (before.hasLeft) await addresses.change(transaction.id, branchId, { links });
    return branchId;
  }

  /**
   * Answers for a transaction that was not begun here, or that this member has not in memory.
   *
   * @param pendingAt where its client asks again; undefined for a request that only asks.
   * @throws (as a rejection) TransactionNotFoundError, and ProblemException when only another member knows,
   * or none now.
   */
  private async elsewhere(id: string, pendingAt?: string): Promise<Reply> {
    const { transactions, status } = this.parts;
    const isOthers = !TRANSACTION_ID.test(id) || transactions.find(id) !== undefined;
    if (isOthers) throw new TransactionNotFoundError(id.slice(0, 100));
    const known = await transactions.outcomeOf(id);
    switch (known.status) {
      case 'committed':
        return statusReply(HttpStatus.GONE, 'TransactionCommitted');
      case 'aborted':
        return statusReply(HttpStatus.GONE, 'TransactionRolledBack');
      case 'elsewhere':
        throw new ProblemException({
          status: HttpStatus.MISDIRECTED,
          code: 'DTC_OTHER_MEMBER',
          detail: `The transaction ${id} belongs to another member of the coordinator, so nothing was done here. Ask that member.`,
          member: { epoch: known.owner, address: known.address },
        });
      case 'pending':
        // This run has not begun it.
        if (id.startsWith(idPrefixOf(status.view()))) throw new TransactionNotFoundError(id);
        break;
      case 'unknown':
        if (known.because !== 'log-unavailable' && known.because !== 'undecidable')
          throw new TransactionNotFoundError(id);
    }
    if (pendingAt !== undefined) return this.pending(undefined, pendingAt);
    throw askLater(`It is not known now what has become of ${id}.`);
  }

  /** @returns undefined for a transaction that was not begun here, or that this member has not in memory. */
  private viewOf(id: string): TransactionView | undefined {
    const view = TRANSACTION_ID.test(id) ? this.parts.transactions.find(id) : undefined;
    return view?.name === NAME ? view : undefined;
  }

  private statusOf(view: TransactionView): Status {
    return statusOf(view, this.parts.transactions.attach(view.transactionId)?.isRollbackOnly);
  }

  private xmlOf(view: TransactionView, base: string): string {
    const { transactionId: id, startedAt, deadlineAt, branches } = view;
    const enlistments = new Map(this.parts.addresses.all(id).map((known) => [known.branchId, known]));
    return transactionXml({
      status: this.statusOf(view),
      created: startedAt,
      timeoutMs: Date.parse(deadlineAt) - Date.parse(startedAt),
      url: urlOf(base, id),
      participants: branches.flatMap((shown) => {
        const enlistment = enlistments.get(shown.branchId);
        if (enlistment === undefined || enlistment.hasLeft) return [];
        const recoveryUrl = `${base}/recovery-coordinator/${id}/${shown.branchId}`;
        return [{ status: statusOfBranch(shown), recoveryUrl, links: enlistment.links }];
      }),
      volatileParticipants: this.parts.volatiles.of(id),
    });
  }

  private running(): TransactionSummary[] {
    const found: TransactionSummary[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < MAX_PAGES; page++) {
      const filter = {
        name: NAME,
        order: 'oldest',
        limit: 1_000,
        ...(cursor !== null && { cursor }),
      } as const;
      const { transactions, nextCursor } = this.parts.transactions.page(filter);
      found.push(...transactions.filter(({ endedAt }) => endedAt === null));
      if (nextCursor === null) break;
      cursor = nextCursor;
    }
    return found;
  }

  private counts(): Counts {
    const { condition, statistics } = this.parts.status.view();
    return {
      active: Math.max(0, condition.inFlight - condition.inDoubt),
      prepared: condition.inDoubt,
      committed: statistics.committed,
      rolledback: statistics.aborted,
    };
  }

  private get completionTimeoutMs(): number {
    return this.parts.registry.get(ONE_PHASE_NAME).options.completionTimeoutMs;
  }
}

function urlOf(base: string, id: string): string {
  return `${base}/transaction-manager/${id}`;
}

/** Where a transaction is ended, and where participants enlist. */
function linksOf(url: string): string {
  return linkHeader({
    terminator: `${url}/terminator`,
    'durable-participant': url,
    'volatile-participant': `${url}/volatile-participant`,
  });
}

/** The transaction has ended, and is kept for a while. */
function gone(view: TransactionSummary): Reply {
  return statusReply(HttpStatus.GONE, statusOf(view));
}

/** The status for volatile participants: an abort is final when it is decided. */
function statusOfDecision(view: TransactionSummary): Status {
  return view.decision === 'abort' && view.endedAt === null ? 'TransactionRolledBack' : statusOf(view);
}

const STATUS_OF_BRANCH = {
  enlisted: 'TransactionActive',
  preparing: 'TransactionPreparing',
  prepared: 'TransactionPrepared',
  'read-only': 'TransactionReadOnly',
  refused: 'TransactionRolledBack',
  committing: 'TransactionCommitting',
  committed: 'TransactionCommitted',
  'rolling-back': 'TransactionRollingBack',
  'rolled-back': 'TransactionRolledBack',
} as const satisfies Record<string, Status>;

function statusOfBranch({ state, heuristic }: BranchView): Status {
  return state === 'heuristic' ? statusOfKind(heuristic?.kind ?? 'hazard') : STATUS_OF_BRANCH[state];
}

/**
 * @param accept the header of that name.
 * @param types what there is. The first one is sent to a client that does not choose.
 * @throws UnsupportedMediaTypeException when none of them is accepted.
 */
function chosen(accept: string | undefined, types: readonly string[]): string {
  const accepted = (accept ?? '*/*').split(',').map((type) => type.split(';', 1)[0]!.trim().toLowerCase());
  const type = accepted
    .map((one) =>
      one === '*/*' || one === 'application/*' || one === '' ? types[0] : types.find((type) => type === one),
    )
    .find((one) => one !== undefined);
  if (type === undefined)
    throw new UnsupportedMediaTypeException(`This resource has only ${types.join(' and ')}.`);
  return type;
}

function idFor({ participant }: ParticipantLinks): string {
  return createHash('sha256').update(participant).digest('base64url').slice(0, 22);
}
