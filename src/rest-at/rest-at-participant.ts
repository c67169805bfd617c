import {
  type Branch,
  HeuristicError,
  type HeuristicKind,
  type OnePhaseAnswer,
  type TransactionParticipant,
  type Vote,
  refuse,
} from '../coordinator/index.js';
import type { AllowedAddresses } from '../remote/addresses.js';
import { type ParticipantLinks, areSame, linksIn, participantIn } from './links.js';
import type { Lane, ParticipantAnswer, ParticipantCalls } from './participant-calls.js';
import { type Status, heuristicOf, statusIn } from './status.js';

/** The payload of a branch: where its participant is reached. It is plain JSON, and the log keeps it. */
export interface Enlistment {
  readonly links: ParticipantLinks;
  /** Set when it has left the transaction: nothing is asked of it any more. */
  readonly hasLeft?: true;
}

/** Finds out and keeps where the participants of branches are reached now. */
export interface Addresses {
  /** @returns undefined for a branch that is over. */
  enlistmentOf(transactionId: string, branchId: string): Enlistment | undefined;
  /** @returns a promise that rejects when the log could not keep it. The address is used all the same. */
  move(transactionId: string, branchId: string, links: ParticipantLinks): Promise<unknown>;
}

/** One order to a participant, with the name of its resource where each order has one. */
interface Order {
  readonly status: Status;
  readonly resource: 'prepare' | 'commit' | 'rollback' | 'commitOnePhase';
  readonly lane: Lane;
}

const PREPARE: Order = { status: 'TransactionPrepared', resource: 'prepare', lane: 'work' };
const COMMIT: Order = { status: 'TransactionCommitted', resource: 'commit', lane: 'completion' };
const ROLLBACK: Order = { status: 'TransactionRolledBack', resource: 'rollback', lane: 'completion' };
const ONE_PHASE: Order = { status: 'TransactionCommittedOnePhase', resource: 'commitOnePhase', lane: 'work' };

/** A participant has not answered as the draft says. Nothing is concluded from it. */
class UnclearAnswerError extends Error {}

/**
 * All participants of REST-AT, as one participant of the coordinator: each branch has the addresses of its
 * own. Votes, decisions, retries and recovery are those of any participant.
 */
export class RestAtParticipant implements TransactionParticipant<Enlistment> {
  /** Its branches are in other processes. */
  readonly preparesDurably = true;
  readonly isMany = true;

  constructor(
    private readonly calls: ParticipantCalls,
    private readonly addresses: Addresses,
    private readonly allow: AllowedAddresses,
    /** Hears that a participant has ended by itself. */
    private readonly endedByItself: (transactionId: string, url: string) => void,
  ) {}

  async prepare(branch: Branch<Enlistment>): Promise<Vote> {
    if (branch.payload.hasLeft) return 'read-only';
    const answer = await this.ask(branch, PREPARE);
    const status = statusIn(answer.text);
    if (answer.code === 409) return refuse('REFUSED', 'the participant has answered prepare with 409');
    if (answer.code === 200 && status === 'TransactionReadOnly') return 'read-only';
    if (answer.code === 200 && (status === 'TransactionPrepared' || isEmpty(answer))) return 'commit';
    throw unclear(branch, PREPARE, answer);
  }

  async commit(branch: Branch<Enlistment>): Promise<void> {
    await this.complete(branch, COMMIT, 'TransactionRolledBack');
  }

  async rollback(branch: Branch<Enlistment | undefined>): Promise<void> {
    // Without a payload it is of a run that is over, and was never prepared by this one.
    if (branch.payload === undefined || branch.payload.hasLeft) return;
    await this.complete(branch as Branch<Enlistment>, ROLLBACK, 'TransactionCommitted');
  }

  /** Tells the decision, until it is done. */
  private async complete(branch: Branch<Enlistment>, order: Order, opposite: Status): Promise<void> {
    const answer = await this.ask(branch, order);
    if (isDone(answer, order)) return;
    this.checkHeuristic(branch, answer);
    // It says itself that it has ended against the decision.
    const isAgainst = answer.code === 200 && statusIn(answer.text) === opposite;
    const isRefusal = answer.code === 409 && order === COMMIT;
    if (isAgainst || isRefusal) {
      throw this.heuristic(branch, order === COMMIT ? 'rollback' : 'commit', `answered ${described(answer)}`);
    }
    throw unclear(branch, order, answer);
  }

  /**
   * Asks once, and once more if the participant has moved. An answer of its former address does not count
   * then.
   */
  protected async ask(
    branch: Branch<Enlistment>,
    order: Order,
  ): Promise<ParticipantAnswer & { readonly isSecond?: true }> {
    const { links } = this.latest(branch);
    const [asked] = await Promise.allSettled([this.send(branch, order, links)]);
    const isAbsent = asked.status === 'fulfilled' && asked.value.code === 404;
    const moved = await this.movedFrom(branch, order, links, isAbsent);
    if (moved !== undefined) return { ...(await this.send(branch, order, moved)), isSecond: true };
    if (asked.status === 'rejected') throw asked.reason;
    return asked.value;
  }

  /** @throws HeuristicError when the participant says that it has ended by itself. */
  protected checkHeuristic(branch: Branch<Enlistment>, answer: ParticipantAnswer): void {
    const status = answer.code === 200 ? statusIn(answer.text) : undefined;
    const kind = heuristicOf(status);
    if (kind !== undefined) throw this.heuristic(branch, kind, `answered ${status}`);
  }

  private heuristic(branch: Branch<Enlistment>, kind: HeuristicKind, what: string): HeuristicError {
    const { participant } = this.latest(branch).links;
    this.endedByItself(branch.transactionId, participant);
    return new HeuristicError(kind, `REST-AT participant ${participant} ${what}`);
  }

  private send(
    branch: Branch<Enlistment>,
    order: Order,
    links: ParticipantLinks,
  ): Promise<ParticipantAnswer> {
    const { lane, status } = order;
    return this.calls.send({ lane, status, method: 'PUT', url: urlFor(order, links), ...limitsOf(branch) });
  }

  /**
   * Where the coordinator was told by now that the participant is, or where an absent participant says so
   * itself.
   */
  private async movedFrom(
    branch: Branch<Enlistment>,
    order: Order,
    former: ParticipantLinks,
    isAbsent: boolean,
  ): Promise<ParticipantLinks | undefined> {
    const told = this.latest(branch).links;
    if (!areSame(told, former)) return told;
    if (!isAbsent) return undefined;
    const found = await this.askForLinks(branch, order, former);
    if (found === undefined || areSame(found, former) || isOnePhase(found) !== isOnePhase(former))
      return undefined;
    // If the log cannot keep it now, the participant is looked for again.
    await this.addresses.move(branch.transactionId, branch.branchId, found).catch(() => {});
    return found;
  }

  /** @returns undefined when the participant names none that may be called. */
  private async askForLinks(
    branch: Branch<Enlistment>,
    { lane }: Order,
    { participant }: ParticipantLinks,
  ): Promise<ParticipantLinks | undefined> {
    try {
      const answer = await this.calls.send({ lane, method: 'HEAD', url: participant, ...limitsOf(branch) });
      if (answer.code !== 200 || answer.link === undefined) return undefined;
      return participantIn(linksIn(answer.link), this.allow);
    } catch {
      // It is not there, or what it names is not allowed: the order is what counts, and it is given again.
      return undefined;
    }
  }

  private latest(branch: Branch<Enlistment>): Enlistment {
    return this.addresses.enlistmentOf(branch.transactionId, branch.branchId) ?? branch.payload;
  }
}

/** Those participants that can commit in one call, if they are the only ones. */
export class OnePhaseRestAtParticipant extends RestAtParticipant {
  async commitOnePhase(branch: Branch<Enlistment>): Promise<OnePhaseAnswer> {
    if (branch.payload.hasLeft) return 'commit';
    const answer = await this.ask(branch, ONE_PHASE);
    const status = statusIn(answer.text);
    if (answer.code === 410 && branch.attempt <= 1 && answer.isSecond === undefined) {
      // It was never asked before, also not at a former address, so it has ended before it could commit.
      return refuse('GONE', 'the participant has answered the first commit in one phase with 410');
    }
    if (isDone(answer, ONE_PHASE) || (answer.code === 200 && status === 'TransactionCommitted'))
      return 'commit';
    if (answer.code === 409 || (answer.code === 200 && status === 'TransactionRolledBack')) {
      return refuse('REFUSED', `the participant has answered commit in one phase with ${described(answer)}`);
    }
    this.checkHeuristic(branch, answer);
    throw unclear(branch, ONE_PHASE, answer);
  }
}

/** @returns whether a participant can commit in one call. */
export function isOnePhase(links: ParticipantLinks): boolean {
  return 'terminator' in links || links.commitOnePhase !== undefined;
}

/** 410 says that it was done before. */
function isDone(answer: ParticipantAnswer, { status }: Order): boolean {
  if (answer.code === 410) return true;
  return answer.code === 200 && (isEmpty(answer) || statusIn(answer.text) === status);
}

function isEmpty({ text }: ParticipantAnswer): boolean {
  return text.trim() === '';
}

/** @throws Error when a participant has lost the resource for commit in one phase. */
function urlFor({ resource }: Order, links: ParticipantLinks): string {
  const url = 'terminator' in links ? links.terminator : links[resource];
  if (url === undefined) throw new UnclearAnswerError(`${links.participant} has no link for ${resource}`);
  return url;
}

/** The deadline of a branch is on a clock that can be set. */
function limitsOf({ deadline, signal }: Branch): {
  readonly timeLeftMs: number;
  readonly signal: AbortSignal;
} {
  return { timeLeftMs: deadline - Date.now(), signal };
}

/** The known part of an answer. The rest may be anything. */
function described({ code, text }: ParticipantAnswer): string {
  const status = statusIn(text);
  return status === undefined ? `${code}` : `${code} ${status}`;
}

function unclear(
  { payload }: Branch<Enlistment>,
  order: Order,
  answer: ParticipantAnswer,
): UnclearAnswerError {
  return new UnclearAnswerError(
    `${payload.links.participant} has answered ${described(answer)} to ${order.status}, which is no answer to it`,
  );
}

const REPORT = /^REST-AT participant (\S+) /;

/** @returns the participant that a report names. The report outlives the process. */
export function participantInReport(reason: string): string | undefined {
  return REPORT.exec(reason)?.[1];
}
