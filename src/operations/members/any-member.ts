import { Injectable, type OnModuleInit } from '@nestjs/common';
import {
  CoordinatorMembers,
  CoordinatorStatus,
  type CoordinatorView,
  type KnownOutcome,
  type MemberView,
  type ParticipantView,
  TransactionManager,
  TransactionNotFoundError,
  type TransactionOwner,
  type TransactionView,
} from '../../coordinator/index.js';
import { ProblemException } from '../problem/problem.js';
import type { ListFilter } from '../request.schemas.js';
import type {
  AdmissionAction,
  ForgetAction,
  MemberAnswer,
  ParticipantAction,
  TransactionAction,
} from './member-call.js';
import { type Asked, MemberClient } from './member-client.js';
import { MemberUnreachableError, OutcomeUnknownError } from './member-errors.js';
import { type ListPart, type MergedPage, merge, placesIn } from './merged-list.js';
import {
  type OutcomeOnly,
  type OwnedTransaction,
  type OwnerView,
  type UnansweredMember,
  owned,
} from './owned.js';
import { OwnAnswers } from './own-answers.js';

/** The most members that one request asks. */
const MAX_ASKED = 32;

/** A page of the transactions of all members. */
export interface PageOfAll extends MergedPage {
  /** The members whose transactions may be missing. */
  readonly unanswered: readonly UnansweredMember[];
}

/** A participant after an order that all members carry out. */
export interface ParticipantOfAll extends ParticipantView {
  /** The members of which it is not known whether they have carried it out. */
  readonly unanswered: readonly UnansweredMember[];
}

type OtherOwner = Extract<TransactionOwner, { readonly kind: 'member' }>;

/** Answers for every transaction and carries out every order, whichever member it concerns. */
@Injectable()
export class AnyMember implements OnModuleInit {
  constructor(
    private readonly own: OwnAnswers,
    private readonly client: MemberClient,
    private readonly members: CoordinatorMembers,
    private readonly status: CoordinatorStatus,
    private readonly transactions: TransactionManager,
  ) {}

  /** From now on the library itself asks the owner as well. */
  onModuleInit(): void {
    this.transactions.askOwner = (known) => this.outcomeFrom(known);
  }

  /**
   * @returns the transaction as its owner has it, or what else is known of its outcome.
   * @throws TransactionNotFoundError when it is not known, and asking again will not help; OutcomeUnknownError when it may help.
   */
  async find(transactionId: string): Promise<OwnedTransaction | OutcomeOnly> {
    const owner = await this.members.ownerOf(transactionId);
    if (owner.kind !== 'member') return this.findHere(transactionId, owner);
    const asked = await this.client.ask(owner, { kind: 'find', transactionId });
    const named = ownerView(owner);
    if (asked.kind === 'answered' && isAbout(transactionId, asked.answer)) {
      const { transaction, outcome } = asked.answer;
      if (transaction !== null) return owned(transaction as TransactionView, named);
      if (outcome.status !== 'elsewhere' && outcome.status !== 'unknown')
        return outcomeOnly(transactionId, outcome.status, named);
    }
    // A decision that was made here before another member took over is final as well.
    const view = this.own.view(transactionId);
    if (view !== undefined && view.decision !== null) return owned(view, this.self);
    // If the owner does not know it, the log may.
    const known = await this.own.outcomeOf(transactionId);
    if (known.status === 'committed' || known.status === 'aborted')
      return outcomeOnly(transactionId, known.status, named);
    throw asked.kind === 'answered' && known.status === 'unknown'
      ? notKnown(known)
      : new OutcomeUnknownError(transactionId, `Its owner is ${nameOf(named)}, and ${problemIn(asked)}.`);
  }

  /** Carries out an order at the owner of the transaction. @throws as OperatorActions does; MemberUnreachableError. */
  async actOn(action: TransactionAction): Promise<OwnedTransaction> {
    if (action.kind !== 'forget' && action.kind !== 'forget-report') return this.actAtOwner(action);
    const tried = new Set<number>();
    const [atOwner] = await Promise.allSettled([this.actAtOwner(action, tried)]);
    // A member that has found a branch of a settled epoch has its report, and does not own the epoch.
    const elsewhere = await this.forgetElsewhere(action, tried);
    if (atOwner.status === 'fulfilled') return atOwner.value;
    if (elsewhere === undefined) throw atOwner.reason;
    return elsewhere;
  }

  /**
   * @param tried the epochs of the members that have got the order. None gets it twice: a repeat is refused and recorded.
   * @returns the transaction at a member that had reports of it; it is never a rejection.
   */
  private async forgetElsewhere(
    action: ForgetAction,
    tried: ReadonlySet<number>,
  ): Promise<OwnedTransaction | undefined> {
    const { transactionId } = action;
    const { self } = this;
    if (self === null) return undefined;
    const forgotten: OwnedTransaction[] = [];
    if (!tried.has(self.epoch) && hasReports(this.own.view(transactionId), action)) {
      const [here] = await Promise.allSettled([this.own.actOn(action)]);
      if (here.status === 'fulfilled') forgotten.push(owned(here.value, self));
    }
    const ask = async (member: MemberView): Promise<void> => {
      const found = await this.client.ask(member, { kind: 'find', transactionId });
      if (found.kind !== 'answered' || !isAbout(transactionId, found.answer)) return;
      if (!hasReports(found.answer.transaction as TransactionView | null, action)) return;
      const asked = await this.client.ask(member, action);
      if (asked.kind === 'answered')
        forgotten.push(owned(asked.answer as TransactionView, ownerView(member)));
    };
    await Promise.all(
      this.others()
        .alive.filter(({ epoch }) => !tried.has(epoch))
        .map(ask),
    );
    return forgotten[0];
  }

  /** @param tried gets the epoch of each member that gets the order. */
  private async actAtOwner(action: TransactionAction, tried = new Set<number>()): Promise<OwnedTransaction> {
    const { transactionId } = action;
    const owner = await this.members.ownerOf(transactionId);
    const actHere = async (): Promise<OwnedTransaction> => {
      tried.add(this.members.own.epoch);
      return owned(await this.own.actOn(action), this.self);
    };
    switch (owner.kind) {
      case 'self':
      case 'foreign':
        return actHere();
      case 'none':
        throw new MemberUnreachableError(
          `The member of ${transactionId} is gone, and no other one has adopted it yet.`,
          false,
        );
      case 'unknown':
        throw new MemberUnreachableError(
          `The log does not say now which member owns ${transactionId}.`,
          false,
        );
      case 'member': {
        tried.add(owner.epoch);
        const asked = await this.client.ask(owner, action);
        const isOnlyHere = asked.kind === 'refused' && asked.code === 'DTC_TRANSACTION_NOT_FOUND';
        if (isOnlyHere && this.own.view(transactionId) !== undefined) return actHere();
        const done = this.done(asked, ownerView(owner)) as TransactionView;
        return owned(done, ownerView(owner));
      }
    }
  }

  /**
   * @returns a page of the transactions of this member and of all that are alive.
   * @throws InvalidRequestError
   */
  async list(filter: ListFilter): Promise<PageOfAll> {
    const { cursor, ...rest } = filter;
    const self = this.self;
    if (self === null) {
      const { entries, hasMore } = this.own.entries(filter);
      const transactions = entries.map(({ transaction }) => owned(transaction, null));
      return { transactions, nextCursor: hasMore ? entries.at(-1)!.cursor : null, unanswered: [] };
    }
    const places = cursor === undefined ? undefined : placesIn(cursor);
    // A cursor of one coordinator alone: this is said as for any other that makes no sense.
    if (cursor !== undefined && places === undefined) this.own.entries({ cursor: '-' });
    const isWanted = ({ epoch }: OwnerView): boolean => places === undefined || places.has(epoch);
    const filterFor = ({ epoch }: OwnerView): ListFilter => {
      const after = places?.get(epoch);
      return { ...rest, ...(after !== undefined && { cursor: after }) };
    };
    const parts: ListPart[] = isWanted(self)
      ? [{ owner: self, after: places?.get(self.epoch), entries: this.own.entries(filterFor(self)) }]
      : [];
    const unanswered: UnansweredMember[] = [];
    const ask = async (member: MemberView): Promise<void> => {
      const owner = ownerView(member);
      const asked = await this.client.ask(member, { kind: 'list', filter: filterFor(owner) });
      const entries = asked.kind === 'answered' ? (asked.answer as ListPart['entries']) : undefined;
      parts.push({ owner, after: places?.get(owner.epoch), entries });
      if (asked.kind !== 'answered') unanswered.push({ ...owner, problem: problemIn(asked) });
    };
    const { alive, gone } = this.others();
    await Promise.all(alive.filter(isWanted).map(ask));
    parts.sort((one, other) => one.owner.epoch - other.owner.epoch);
    return { ...merge(parts, rest), unanswered: inOrder([...unanswered, ...gone]) };
  }

  /**
   * Pauses or resumes a participant at all members that are alive, or at one.
   *
   * @param member the epoch of the only one that acts.
   * @returns the participant as this member has it, or the one that alone has acted.
   * @throws as OperatorActions does for this member, unless another one has done it; MemberUnreachableError.
   */
  async actAt(action: ParticipantAction, member?: number): Promise<ParticipantOfAll> {
    const self = this.self;
    if (member !== undefined && member !== self?.epoch) {
      const done = (await this.actAlone(action, member)) as ParticipantView;
      return { ...done, unanswered: [] };
    }
    const { alive, gone } = self === null || member !== undefined ? NO_OTHERS : this.others();
    let refusal: { readonly error: unknown } | undefined;
    await this.own.actAt(action).catch((error: unknown) => (refusal = { error }));
    // Only a resume that has nothing to do here may have something to do elsewhere.
    const mayGoOn = refusal === undefined || codeOf(refusal.error) === 'DTC_ACTION_REFUSED';
    if (!mayGoOn) throw refusal!.error;
    const asked = await Promise.all(
      alive.map(async (other) => [ownerView(other), await this.client.ask(other, action)] as const),
    );
    const isDone = asked.some(([, { kind }]) => kind === 'answered');
    if (refusal !== undefined && !isDone) throw refusal.error;
    const unanswered = asked.flatMap(([owner, answer]): UnansweredMember[] => {
      const isFine =
        answer.kind === 'answered' || (answer.kind === 'refused' && answer.code === 'DTC_ACTION_REFUSED');
      return isFine ? [] : [{ ...owner, problem: problemIn(answer) }];
    });
    return { ...this.status.participant(action.participant), unanswered: inOrder([...unanswered, ...gone]) };
  }

  /** Drains or undrains this member, or another one. @throws as OperatorActions does; MemberUnreachableError. */
  async admit(action: AdmissionAction, member?: number): Promise<CoordinatorView> {
    if (member === undefined || member === this.members.own.epoch) return this.own.admit(action);
    return (await this.actAlone(action, member)) as CoordinatorView;
  }

  /**
   * Asks the owner for an outcome.
   *
   * @returns its answer, or the earlier knowledge; it never rejects.
   */
  async outcomeFrom(known: KnownOutcome & { readonly status: 'elsewhere' }): Promise<KnownOutcome> {
    const { transactionId, owner: epoch, address } = known;
    const asked = await this.client.ask({ epoch, address }, { kind: 'find', transactionId });
    if (asked.kind !== 'answered' || !isAbout(transactionId, asked.answer)) return known;
    const { status } = asked.answer.outcome;
    return status === 'elsewhere' || status === 'unknown' ? known : { transactionId, status };
  }

  /** The members to ask, and those that cannot be asked although they may have transactions. */
  others(): { readonly alive: readonly MemberView[]; readonly gone: readonly UnansweredMember[] } {
    const others = this.members.view().members.filter(({ self }) => !self);
    const alive = others.filter(({ state }) => state === 'alive');
    const gone = others.flatMap((member): UnansweredMember[] => {
      if (member.state === 'lost') return [{ ...ownerView(member), problem: 'its lease has expired' }];
      if (member.state === 'fenced')
        return [{ ...ownerView(member), problem: 'it is gone, and no member has adopted it yet' }];
      return [];
    });
    const problem = `only ${MAX_ASKED} members are asked at once`;
    const tooMany = alive.slice(MAX_ASKED).map(({ epoch, member }) => ({ epoch, member, problem }));
    return { alive: alive.slice(0, MAX_ASKED), gone: [...gone, ...tooMany] };
  }

  /** This member as an owner; null where the log is not shared. */
  get self(): OwnerView | null {
    const { epoch, member } = this.members.own;
    return this.members.isShared ? { epoch, member } : null;
  }

  private async findHere(
    transactionId: string,
    { kind }: TransactionOwner,
  ): Promise<OwnedTransaction | OutcomeOnly> {
    const isOwn = kind === 'self' || kind === 'foreign';
    const view = isOwn ? this.own.view(transactionId) : undefined;
    if (view !== undefined) return owned(view, this.self);
    if (!this.members.isShared) throw new TransactionNotFoundError(transactionId);
    const known = await this.own.outcomeOf(transactionId);
    switch (known.status) {
      case 'committed':
      case 'aborted':
      case 'pending':
        return outcomeOnly(transactionId, known.status, isOwn ? this.self : null);
      case 'unknown':
        throw notKnown(known);
      case 'elsewhere':
        throw new OutcomeUnknownError(
          transactionId,
          'Its member is gone, and no other one has adopted it yet.',
        );
    }
  }

  private async actAlone(action: ParticipantAction | AdmissionAction, epoch: number): Promise<unknown> {
    const member = this.members
      .view()
      .members.find((known) => known.epoch === epoch && known.state === 'alive');
    if (member === undefined) {
      throw new MemberUnreachableError(
        `No member with the epoch ${epoch} is alive; GET /members lists them.`,
        false,
      );
    }
    return this.done(await this.client.ask(member, action), ownerView(member));
  }

  /**
   * @returns the answer of a member to an order.
   * @throws its refusal; MemberUnreachableError.
   */
  private done(
    asked: Asked<MemberAnswer<TransactionAction['kind'] | 'pause' | 'drain'>>,
    owner: OwnerView,
  ): unknown {
    switch (asked.kind) {
      case 'answered':
        return asked.answer;
      case 'refused': {
        const { status, code, detail } = asked;
        throw new ProblemException({ status, code, detail });
      }
      case 'failed':
        throw new MemberUnreachableError(
          `The order is for ${nameOf(owner)}, and ${asked.problem}.`,
          asked.mayBeDone,
        );
    }
  }
}

const NO_OTHERS = { alive: [], gone: [] } as const;

/**
 * Whether it has ended, and holds reports that no operator has dealt with: for an order that concerns one branch, whether that
 * branch has reported anything.
 */
function hasReports(transaction: TransactionView | null | undefined, action: ForgetAction): boolean {
  if (transaction === undefined || transaction === null || transaction.endedAt === null) return false;
  if ((transaction.heuristic ?? null) === null) return false;
  if (action.kind === 'forget') return true;
  return transaction.branches.some(
    ({ branchId, heuristic }) => branchId === action.branchId && (heuristic ?? null) !== null,
  );
}

function isAbout(id: string, { transaction, outcome }: MemberAnswer<'find'>): boolean {
  return outcome.transactionId === id && (transaction === null || transaction.transactionId === id);
}

function ownerView({ epoch, member }: OwnerView | OtherOwner | MemberView): OwnerView {
  return { epoch, member };
}

function nameOf({ epoch, member }: OwnerView): string {
  return member === '' ? `the member with epoch ${epoch}` : `the member "${member}" with epoch ${epoch}`;
}

function problemIn(asked: Asked<unknown>): string {
  switch (asked.kind) {
    case 'answered':
      return 'it does not know it either';
    case 'refused':
      return `it has refused: ${asked.detail}`;
    case 'failed':
      return asked.problem;
  }
}

function outcomeOnly(
  transactionId: string,
  outcome: OutcomeOnly['outcome'],
  owner: OwnerView | null,
): OutcomeOnly {
  const decision = outcome === 'committed' ? 'commit' : outcome === 'aborted' ? 'abort' : null;
  return { transactionId, outcome, decision, owner };
}

/** The answer about a transaction of which the log knows nothing. */
function notKnown({ transactionId, because }: KnownOutcome & { readonly status: 'unknown' }): Error {
  switch (because) {
    case 'log-unavailable':
      return new OutcomeUnknownError(transactionId, 'The decision log does not answer.');
    case 'undecidable':
      return new OutcomeUnknownError(
        transactionId,
        'The log may have lost its decision, so an operator has to find out.',
      );
    case 'purged':
    case 'forgotten':
    case 'foreign':
      return new TransactionNotFoundError(transactionId);
  }
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}

function inOrder(members: readonly UnansweredMember[]): UnansweredMember[] {
  return members.toSorted((one, other) => one.epoch - other.epoch);
}
