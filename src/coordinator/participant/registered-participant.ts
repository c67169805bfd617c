import type { Type } from '@nestjs/common';
import { AwaitedParticipant } from './awaited-participant.js';
import type { GroupingParticipant } from './group.js';
import type { LastResource } from './last-resource.js';
import type { ResolvedParticipantOptions } from './participant.options.js';
import type { Branch, TransactionParticipant } from './participant.js';
import { Silence } from './silence.js';

/** The counts of one participant since the start. @publicApi */
export interface ParticipantCounts {
  readonly commitVotes: number;
  readonly readOnlyVotes: number;
  readonly refusals: number;
  /** Errors, and answers that are not votes, in prepare. */
  readonly failures: number;
  readonly timeouts: number;
  /** Answers to prepare that arrived after the abort. */
  readonly lateAnswers: number;
  /** Of these, the errors and invalid votes that the aborted signal does not explain. */
  readonly lateFailures: number;
  readonly committed: number;
  readonly rolledBack: number;
  /** Attempts to commit or roll back that failed. */
  readonly failedAttempts: number;
  readonly heuristicReports: number;
}

/** Limits how many branches a participant prepares at once, and queues the others. */
export interface Places {
  readonly isFull: boolean;
  take(branch: Branch): void;
  request(branch: Branch): void;
  release(branch: Branch): void;
  /** Reports that a branch was refused because of a conflict with another transaction. */
  conflicted(): void;
  /** Reports a vote, or a refusal for another reason: the branch got any lock it waited for. */
  gotThrough(): void;
  /** Starts waiting branches while there are places. */
  serve(): void;
}

/** Limits the load on the server behind a participant, and learns when the server is full. */
export interface ServerShortage {
  readonly limit: number;
  readonly used: number;
  /** Whether a transaction that has not started yet must wait. */
  readonly isBusy: boolean;
  lower(now: number): void;
  queuedLong(now: number): void;
}

/** Why a participant gets no calls for now. @publicApi */
export interface Pause {
  /** The start of the pause, in milliseconds since the epoch. */
  readonly since: number;
  /** The name of the operator. */
  readonly by: string;
  readonly reason: string;
}

/**
 * The deadline that calls of one kind are given, as the whole milliseconds of a moment. The calls of one turn
 * of the event loop share it: a number of that size is an object, and each call would make its own.
 */
export class GivenDeadline {
  private moment: number | undefined = undefined;
  private rounded: number | undefined = undefined;

  at(moment: number): number {
    if (moment !== this.moment) {
      this.moment = moment;
      this.rounded = Math.round(moment);
    }
    return this.rounded!;
  }
}

/**
 * One participant in the registry. A branch keeps its own reference, so a participant that was removed still
 * completes its prepared branches. Users see it as a `ParticipantEntry`.
 */
export class RegisteredParticipant {
  readonly name: string;
  instance!: TransactionParticipant;
  className!: string;
  options!: ResolvedParticipantOptions;
  /** The classes that name it, besides its name. */
  classes!: readonly Type<TransactionParticipant | LastResource>[];
  /** The address in the log, while the participant is awaited. */
  private lastAddress: string | undefined;
  readonly counts: { -readonly [K in keyof ParticipantCounts]: ParticipantCounts[K] } = {
    commitVotes: 0,
    readOnlyVotes: 0,
    refusals: 0,
    failures: 0,
    timeouts: 0,
    lateAnswers: 0,
    lateFailures: 0,
    committed: 0,
    rolledBack: 0,
    failedAttempts: 0,
    heuristicReports: 0,
  };
  readonly prepareDeadline = new GivenDeadline();
  readonly commitDeadline = new GivenDeadline();
  /** Whether it has stopped answering prepares. */
  readonly silence = new Silence(this.counts);
  /** An operator has paused it: the coordinator refuses its prepares and holds its completions. */
  paused: Pause | undefined = undefined;
  /** The shorter of its time-outs, in milliseconds. */
  shortestTimeoutMs!: number;
  /** Whether it can commit the only branch of a transaction in one phase. */
  onePhase!: boolean;
  /** Whether it cannot prepare, so that it is asked last and decides. */
  isLastResource!: boolean;
  /** Whether its prepared branches outlive the process. */
  preparesDurably!: boolean;
  /** Whether all its branches are at one place, so that its answers say something of the next one. */
  isOne!: boolean;
  /** Whether it has accepted the run of the coordinator, if it must be claimed. */
  isClaimed = true;
  /** The last reported reason why it has not. */
  claimProblem: string | undefined = undefined;
  /** Whether each of its calls runs with its transaction as the ambient one. */
  ambient!: boolean;
  /** Whether it looks at payloads before their branches are enlisted. */
  checksPayloads!: boolean;
  /** Whether branches of several transactions may be prepared here as one. */
  grouped!: boolean;
  /** Whether it wants to know when a branch starts and ends. */
  hearsStarts!: boolean;
  hearsEnds!: boolean;
  /** Whether it is told of one of them, or may be once it is another one. */
  mayHear!: boolean;
  /** Its place in the order of registration, in which participants prepare one after the other. */
  rank = 0;
  /** Limits how many branches it prepares at once; undefined if it declares no capacity. */
  places: Places | undefined = undefined;
  /**
   * The database behind it, the same text for all participants on it; undefined if it names none.
   *
   * @internal
   */
  database: string | undefined = undefined;
  /** The limit of its database server; undefined if it declares no capacity. */
  server: ServerShortage | undefined = undefined;

  constructor(
    instance: TransactionParticipant,
    className: string,
    options: ResolvedParticipantOptions,
    classes: readonly Type<TransactionParticipant | LastResource>[],
    address?: string,
  ) {
    this.name = options.name;
    this.become(instance, className, options, classes, address);
  }

  /** Since when it has answered no prepare in time, on the coordinator's clock; undefined if it answers. */
  silentSince(now: number): number | undefined {
    return this.silence.since(now, this.options.prepareTimeoutMs);
  }

  /**
   * @returns when a prepare is due that was called then, in a transaction that must be decided at a moment.
   */
  prepareDueAt(calledAt: number, deadlineAt: number): number {
    const dueAt = calledAt + this.options.prepareTimeoutMs;
    return dueAt < deadlineAt ? dueAt : deadlineAt;
  }

  /** @returns when the first attempt to commit is due that was called then. */
  commitDueAt(calledAt: number): number {
    return calledAt + this.options.completionTimeoutMs;
  }

  /** Its address now; undefined if it is in this process. The log stores it with each of its branches. */
  get address(): string | undefined {
    return this.instance.remoteAddress ?? this.lastAddress;
  }

  set address(address: string | undefined) {
    this.lastAddress = address;
  }

  /** Whether it stands in for an unregistered participant: no decision can be delivered to it. */
  get isAwaited(): boolean {
    return this.instance instanceof AwaitedParticipant;
  }

  /**
   * The participant, now registered, takes the place of the stand-in, and keeps its branches and
   * measurements.
   */
  become(
    instance: TransactionParticipant,
    className: string,
    options: ResolvedParticipantOptions,
    classes: readonly Type<TransactionParticipant | LastResource>[],
    address?: string,
  ): void {
    this.instance = instance;
    this.className = className;
    this.options = options;
    this.classes = classes;
    this.lastAddress = address;
    this.silence.end();
    this.isOne = instance.isMany !== true;
    this.shortestTimeoutMs = Math.min(options.prepareTimeoutMs, options.completionTimeoutMs);
    this.onePhase = typeof instance.commitOnePhase === 'function';
    this.isLastResource = options.lastResource;
    this.preparesDurably = instance.preparesDurably ?? typeof instance.recover === 'function';
    this.ambient = options.ambient;
    this.checksPayloads = typeof instance.checkPayload === 'function';
    // The ambient transaction is that of one branch, and a group is called for many.
    const { grouped } = instance as Partial<GroupingParticipant>;
    this.grouped = grouped === true && instance.remoteAddress === undefined && !options.ambient;
    this.hearsStarts = typeof instance.branchStarted === 'function';
    this.hearsEnds = typeof instance.branchEnded === 'function';
    this.mayHear = this.hearsStarts || this.hearsEnds || this.isAwaited;
  }
}
