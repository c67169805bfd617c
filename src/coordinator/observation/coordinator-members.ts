import { Inject, Injectable } from '@nestjs/common';
import { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { inquire } from '../execution/inquiry.js';
import { LATE } from '../execution/time-limits.js';
import type { KnownRun, MemberEpoch } from '../log/shared-log.js';
import type { KnownOutcome } from '../outcome.js';
import { type MemberState, memberState } from './member-state.js';
import { type TransactionEntries, type TransactionFilter, entriesOf } from './transaction-listing.js';

/** One epoch of a member of a shared log, as it is shown to people. @publicApi */
export interface MemberView {
  readonly epoch: number;
  /** The name of the member for people; empty when it has none. */
  readonly member: string;
  /** The URL at which the other members reach it; null when they cannot. */
  readonly address: string | null;
  /** Whether it is the member that answers. */
  readonly self: boolean;
  readonly state: MemberState;
  /** Whether it takes no new transactions. */
  readonly draining: boolean;
  /** How old its lease was when the log was asked, in milliseconds. */
  readonly leaseAgeMs: number;
  /** The epoch of the member that has adopted it; null for none. */
  readonly adoptedBy: number | null;
  /**
   * Whether no record means abort once it is fenced. If not, an operator decides on its prepared branches.
   */
  readonly presumable: boolean;
}

/** The members of a coordinator, as one of them knows them. @publicApi */
export interface MembersView {
  /** Whether several members can share the log. Otherwise there are no members. */
  readonly shared: boolean;
  /** The epoch of the member that answers. */
  readonly epoch: number;
  /** The length of a lease, in milliseconds. */
  readonly leaseMs: number;
  /** How long ago the log has listed the members, in milliseconds; null when it never has. */
  readonly listedMsAgo: number | null;
  /** How many epochs the member that answers has adopted since its start. */
  readonly adoptions: number;
  /** How many times it was fenced, and went on with a new epoch. */
  readonly returns: number;
  /** Every epoch that is not settled, in ascending order. */
  readonly members: readonly MemberView[];
}

/**
 * The owner of a transaction: this member (`self`), another one (`member`), or none yet, because its member
 * is gone and was not adopted (`none`). The id may be of another log (`foreign`), or the log may not answer
 * now (`unknown`).
 *
 * @publicApi
 */
export type TransactionOwner =
  | { readonly kind: 'self' | 'none' | 'foreign' | 'unknown' }
  | {
      readonly kind: 'member';
      readonly epoch: number;
      /** The name of the member for people; empty when it is not known. */
      readonly member: string;
      /** The URL at which it is reached; null when it has none, or is too new to be listed. */
      readonly address: string | null;
    };

/**
 * An adopter that is adopted is followed this often. The log names the last one itself, unless it has changed
 * meanwhile.
 */
const MAX_HOPS = 4;

/** The members of the coordinator, and who of them owns a transaction. @publicApi */
@Injectable()
export class CoordinatorMembers {
  /** @internal */
  constructor(@Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime) {}

  /** Whether several members can share the log. */
  get isShared(): boolean {
    return this.runtime.log.shared !== undefined;
  }

  /** The name of the coordinator, the id of its log, and the epoch of this member. */
  get own(): {
    readonly name: string;
    readonly logId: string;
    readonly epoch: number;
    readonly member: string;
  } {
    const { log, parts } = this.runtime;
    const { name, logId, epoch } = log.run;
    return { name, logId, epoch, member: parts.options.memberName };
  }

  /** @returns the members, as the log has listed them at the last renewal of the lease. It asks nothing. */
  view(): MembersView {
    const { members, log, parts } = this.runtime;
    const seenForMs = members.seenForMs(parts.clock.now());
    return {
      shared: this.isShared,
      epoch: log.epoch,
      leaseMs: parts.options.leaseMs,
      listedMsAgo: seenForMs === undefined ? null : Math.round(seenForMs),
      adoptions: members.adoptions.lost + members.adoptions.fenced,
      returns: members.returns,
      members: members.list.map((member) => this.viewOf(member)),
    };
  }

  /**
   * Finds out which member owns a transaction. An id of the present run is this member's; for any other the
   * log is asked, since the owner may have changed at any moment.
   *
   * @returns the owner; it is never a rejection.
   */
  async ownerOf(transactionId: string): Promise<TransactionOwner> {
    const { ids, log } = this.runtime;
    const origin = ids.originOf(transactionId);
    if (origin.kind !== 'own') return { kind: 'foreign' };
    if (!this.isShared || ids.isCurrent(transactionId)) return { kind: 'self' };
    let { epoch } = origin;
    for (let hop = 0; hop < MAX_HOPS; hop++) {
      const run = await this.runOf(epoch);
      if (run === LATE) return { kind: 'unknown' };
      if (run === undefined) return { kind: 'foreign' };
      if (!run.isFenced) return epoch === log.epoch ? { kind: 'self' } : this.memberOf(epoch);
      if (run.adoptedBy === null) return { kind: 'none' };
      epoch = run.adoptedBy;
    }
    return { kind: 'unknown' };
  }

  /**
   * Finds the outcome of a transaction, in the memory of this member and in the log. It asks no other member.
   *
   * @returns the known outcome; it never rejects.
   */
  outcomeHere(transactionId: string): Promise<KnownOutcome> {
    return inquire(transactionId, this.runtime);
  }

  /**
   * @returns a part of the transactions of this member, each with its place in the list.
   * @throws InvalidRequestError
   */
  entries(filter: TransactionFilter): TransactionEntries {
    const { registry, parts } = this.runtime;
    return entriesOf(registry, filter, parts.clock.now());
  }

  private memberOf(epoch: number): TransactionOwner {
    const known = this.runtime.members.of(epoch);
    return { kind: 'member', epoch, member: known?.member ?? '', address: known?.address ?? null };
  }

  private async runOf(epoch: number): Promise<KnownRun | undefined | typeof LATE> {
    const { log, timeLimits, parts } = this.runtime;
    try {
      const runs = await timeLimits.within(log.shared!.members.runs([epoch]), parts.options.leaseMs);
      return runs === LATE ? LATE : runs[0];
    } catch {
      // A log that cannot be asked says as little as one that does not answer.
      return LATE;
    }
  }

  private viewOf(member: MemberEpoch): MemberView {
    const { epoch, address, draining, ageMs, adoptedBy, isPresumable } = member;
    return {
      epoch,
      member: member.member,
      address,
      self: epoch === this.runtime.log.epoch,
      state: memberState(member, this.runtime),
      draining,
      leaseAgeMs: Math.max(0, Math.round(ageMs)),
      adoptedBy,
      presumable: isPresumable,
    };
  }
}
