import { type Clock, epochMsOf } from '../execution/clock.js';
import type { BranchRecord, TransactionRecord } from '../execution/records.js';
import { LATE, type TimeLimits } from '../execution/time-limits.js';
import { TransactionAbortedError, guardedController } from '../gate/guarded-signal.js';
import { settled } from '../gate/settled.js';
import { messageOf } from '../gate/texts.js';
import type { GroupBranch, GroupMember, GroupingParticipant } from '../participant/group.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { State } from '../protocol/index.js';
import type { Member } from './member.js';
import { type ReadVote, votesIn } from './member-votes.js';

/**
 * The work of a group may take this part of the time that its members have left, so that each can still run
 * on its own.
 */
const SHARE_OF_MEMBERS = 1 / 4;

/**
 * It may take as long as this in any case, so that a member with hardly any time left does not stop the work
 * of all.
 */
const SHORTEST_WORK_MS = 50;

/** It may not take longer than this: work that does so runs on its own. */
const LONGEST_WORK_MS = 1_000;

interface WorkParts {
  readonly clock: Clock;
  readonly timeLimits: TimeLimits;
  /** The participant has not answered in time. */
  readonly late: (participant: RegisteredParticipant) => void;
}

/** The votes of each member, and of each that was only tried, in the order of its own branches. */
export interface RunVotes {
  readonly members: readonly (readonly ReadVote[])[];
  readonly trials: readonly (readonly ReadVote[])[];
}

/** A group of another coordinator works at a participant. */
export const BUSY = Symbol('busy');

/**
 * Calls the participants of a group before it is prepared: for the work of the members, and to discard it.
 */
export class GroupWork {
  private controller: AbortController | undefined = undefined;

  constructor(
    private readonly group: TransactionRecord,
    private readonly parts: WorkParts,
  ) {}

  /** Whether each participant can change what is open, so that nothing need be discarded. */
  get canRerun(): boolean {
    return this.group.branches.every(({ participant }) => {
      const { rerunGroup } = participant.instance as Partial<GroupingParticipant>;
      return rerunGroup !== undefined;
    });
  }

  /**
   * Runs the work of the members at all participants at once.
   *
   * @param trials are only tried behind them.
   * @param run the number of the run, from 1.
   * @param isOpen whether the work of an earlier run is still open.
   * @param inTurn whether each participant begins after the one before has done its work, and waits for
   * others.
   * @returns the votes; a text if a participant has failed as a whole.
   */
  async run(
    members: readonly Member[],
    trials: readonly Member[],
    run: number,
    isOpen: boolean,
    inTurn: boolean,
  ): Promise<RunVotes | string | typeof BUSY> {
    const asks = this.group.branches.map((branch) => ({
      branch,
      ask: () => this.workAt(branch, members, trials, run, isOpen, inTurn && !isOpen),
    }));
    const answers = inTurn && !isOpen ? await this.inOrderOfNames(asks) : await atOnce(asks);
    const failed = answers.find(({ answer }) => typeof answer === 'string')?.answer;
    if (typeof failed === 'string') return failed;
    const byParticipant = new Map<RegisteredParticipant, readonly ReadVote[]>();
    for (const { branch, answer } of answers) {
      if (typeof answer !== 'object') return BUSY;
      byParticipant.set(branch.participant, answer);
    }
    const votes = [...members, ...trials].map(({ transaction }, index) =>
      transaction.branches.map(({ participant }) => byParticipant.get(participant)![index]!),
    );
    return { members: votes.slice(0, members.length), trials: votes.slice(members.length) };
  }

  /** Undoes the latest run everywhere. @returns a text if it is not known that it is undone. */
  async discard(run: number): Promise<string | undefined> {
    const problems = await Promise.all(this.group.branches.map((branch) => this.discardAt(branch, run)));
    return problems.find((problem) => problem !== undefined);
  }

  /** The group is aborted: no participant need work for it any more. */
  stop(): void {
    this.controller?.abort(new TransactionAbortedError(this.group.id));
  }

  /**
   * Asks no other one once a participant has failed or is busy, or the group has ended. The order is the same
   * for all coordinators.
   */
  private async inOrderOfNames(asks: readonly Ask[]): Promise<Asked[]> {
    const answers: Asked[] = [];
    const nameOf = ({ branch }: Ask): string => branch.participant.name;
    for (const { branch, ask } of asks.toSorted((one, other) => (nameOf(one) < nameOf(other) ? -1 : 1))) {
      const answer = this.group.state === State.ACTIVE ? await ask() : 'is not asked: the group has ended';
      answers.push({ branch, answer });
      if (typeof answer !== 'object') break;
    }
    return answers;
  }

  private async workAt(
    branch: BranchRecord,
    members: readonly Member[],
    trials: readonly Member[],
    run: number,
    isOpen: boolean,
    waits: boolean,
  ): Promise<WorkAnswer> {
    const { participant } = branch;
    const limitMs = this.limitOf(participant.options.prepareTimeoutMs);
    const given = {
      ...this.given(branch, run, limitMs),
      workDeadline: this.workDeadline([...members, ...trials]),
      waits,
    };
    const works = members.map((member) => branchAt(member, participant));
    const tried = trials.map((member) => branchAt(member, participant));
    const instance = participant.instance as GroupingParticipant;
    const answer = await this.within(participant, limitMs, () =>
      isOpen ? instance.rerunGroup!(given, works, tried) : instance.runGroup(given, works),
    );
    if (typeof answer === 'string') return `${participant.name} ${answer}`;
    if (answer.value === 'busy' && !isOpen) return BUSY;
    const votes = votesIn(answer.value, works.length + tried.length);
    return typeof votes === 'string' ? `${participant.name} ${votes}` : votes;
  }

  private async discardAt(branch: BranchRecord, run: number): Promise<string | undefined> {
    const { participant } = branch;
    const limitMs = this.limitOf(participant.options.completionTimeoutMs);
    const given = this.given(branch, run, limitMs);
    const answer = await this.within(participant, limitMs, () =>
      (participant.instance as GroupingParticipant).discardGroup(given),
    );
    return typeof answer === 'string' ? `${participant.name} ${answer}` : undefined;
  }

  /** @returns the answer of a call; a text if it has failed or takes too long. */
  private async within(
    participant: RegisteredParticipant,
    limitMs: number,
    call: () => unknown,
  ): Promise<{ readonly value: unknown } | string> {
    const answer = await this.parts.timeLimits.within(settled(call), limitMs);
    if (answer === LATE) {
      this.parts.late(participant);
      return `has not done the work of the group within ${Math.round(limitMs)} ms`;
    }
    return 'error' in answer ? messageOf(answer.error) : answer;
  }

  private limitOf(ms: number): number {
    return Math.max(0, Math.min(ms, this.group.deadlineAt - this.parts.clock.now()));
  }

  private workDeadline(members: readonly Member[]): number {
    const { clock } = this.parts;
    const now = clock.now();
    const leftMs = Math.min(...members.map(({ transaction }) => transaction.deadlineAt - now));
    const ms = Math.max(SHORTEST_WORK_MS, Math.min(LONGEST_WORK_MS, leftMs * SHARE_OF_MEMBERS));
    return epochMsOf(clock, now + ms);
  }

  private given({ branchId }: BranchRecord, run: number, limitMs: number): GroupBranch {
    const { group, parts } = this;
    this.controller ??= guardedController((error) =>
      group.executor.listenerFailed(`the group ${group.id}`, error, group),
    );
    return {
      transactionId: group.id,
      branchId,
      deadline: epochMsOf(parts.clock, parts.clock.now() + limitMs),
      signal: this.controller.signal,
      attempt: run,
      run: group.executor.run,
    };
  }
}

type WorkAnswer = readonly ReadVote[] | string | typeof BUSY;

/** Asks one participant for its work. */
interface Ask {
  readonly branch: BranchRecord;
  readonly ask: () => Promise<WorkAnswer>;
}

interface Asked {
  readonly branch: BranchRecord;
  readonly answer: WorkAnswer;
}

function atOnce(asks: readonly Ask[]): Promise<Asked[]> {
  return Promise.all(asks.map(async ({ branch, ask }) => ({ branch, answer: await ask() })));
}

/** @returns the part of a member at a participant: it has one there. */
function branchAt({ transaction }: Member, participant: RegisteredParticipant): GroupMember {
  const { id: transactionId, branches } = transaction;
  const { branchId, payload, requestId } = branches.find((branch) => branch.participant === participant)!;
  const member = { transactionId, branchId, payload };
  return requestId === undefined ? member : { ...member, requestId };
}
