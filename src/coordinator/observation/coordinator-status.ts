import { Inject, Injectable } from '@nestjs/common';
import { ParticipantNotFoundError } from '../errors.js';
import { type Clock, epochMsOf } from '../execution/clock.js';
import { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { UndecidedBranch } from '../execution/observer.js';
import type { ParticipantCounts, RegisteredParticipant } from '../participant/registered-participant.js';
import type { ResolvedParticipantOptions } from '../participant/participant.options.js';
import type { RemoteContact } from '../participant/remote-contact.js';
import { ParticipantRegistry } from '../participant/participant.registry.js';
import { VERSION } from '../version.js';
import { type ParticipantLatency, latencyOf, measurementsOf } from './metrics/participant-measurements.js';
import { Reporter } from './reporter.js';
import type { TransactionStatistics } from './statistics.js';
import { type TransactionSummary, summaryOf } from './transaction-view.js';
import { needingAttention } from './attention.js';
import { type Group, Snapshot } from './snapshot.js';

/** The present condition of the coordinator. @publicApi */
export interface CoordinatorCondition {
  /** Whether it admits new transactions. */
  readonly accepting: boolean;
  /** Whether an operator has drained it. */
  readonly draining: boolean;
  /** Whether decisions of earlier runs have yet to be tried for the first time. */
  readonly recovering: boolean;
  /**
   * Whether another process has claimed the log, or another member has fenced this one. A member of a shared
   * log takes a new epoch by itself.
   */
  readonly fenced: boolean;
  /** Why the decision log takes no records, or null while it does. */
  readonly logProblem: string | null;
  /** Whether the decision log is broken until the process is restarted. */
  readonly restartNeeded: boolean;
  readonly inFlight: number;
  readonly maxInFlight: number;
  /**
   * Transactions that are prepared and whose decision is not known yet. Most are in doubt only for a moment.
   */
  readonly inDoubt: number;
  /** Transactions with a stalled branch. */
  readonly stalled: number;
  /** Transactions with a heuristic report that no operator has dealt with. */
  readonly heuristic: number;
  /** Participants that have answered none of their last prepares in time. */
  readonly silent: number;
  /** How long the oldest of them has been in doubt, in milliseconds; null when there is none. */
  readonly oldestInDoubtMs: number | null;
  /**
   * How long ago the oldest stalled transaction was decided, or asked to commit in one phase; null when there
   * is none.
   */
  readonly oldestStalledMs: number | null;
}

/** The coordinator as it is shown to people. @publicApi */
export interface CoordinatorView {
  readonly name: string;
  /** The id of its decision log. */
  readonly logId: string;
  /** The number of this start of the log. */
  readonly epoch: number;
  /** The version of this package. */
  readonly version: string;
  /** Whether decisions survive this process. */
  readonly durable: boolean;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly condition: CoordinatorCondition;
  readonly statistics: TransactionStatistics;
}

/** The transactions that need an operator's attention. */
export interface Attention {
  readonly transactions: readonly TransactionSummary[];
  readonly total: number;
}

/** A participant in another process, as this member reaches it. @publicApi */
export interface RemoteView {
  /** Where it is reached. */
  readonly address: string;
  /** The calls to it from this member; null where nothing is known. */
  readonly contact: RemoteContact | null;
}

/** A participant as it is shown to people. @publicApi */
export interface ParticipantView extends ResolvedParticipantOptions {
  readonly className: string;
  readonly onePhase: boolean;
  /** Left out for a participant in this process. */
  readonly remote?: RemoteView;
  readonly paused: { readonly since: string; readonly by: string; readonly reason: string } | null;
  /** Since when it has answered none of its prepares in time; null if it answers, or nothing is known. */
  readonly silent: { readonly since: string } | null;
  readonly counts: Readonly<ParticipantCounts> & {
    /** The number of stalled branches. */
    readonly stalled: number;
  };
  readonly latency: ParticipantLatency;
  /**
   * Prepared branches in the latest complete list that this coordinator cannot decide and leaves unchanged.
   */
  readonly undecided: UndecidedView;
}

/** The prepared branches of a participant that this coordinator cannot decide. @publicApi */
export interface UndecidedView {
  /** The number with this coordinator's name: of another log, or of a run whose decisions are not known. */
  readonly undecidable: number;
  /** The number of other coordinators, or of none. They stay prepared. */
  readonly foreign: number;
  /** The oldest of both, at most 20, and how long each has been seen. */
  readonly oldest: readonly (Omit<UndecidedBranch, 'since'> & { readonly ageMs: number })[];
}

/** The condition of the coordinator and its participants, for health checks and listings. @publicApi */
@Injectable()
export class CoordinatorStatus {
  private readonly startedAt = new Date().toISOString();

  /** @internal */
  constructor(
    @Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime,
    private readonly participantRegistry: ParticipantRegistry,
    private readonly reporter: Reporter,
  ) {}

  /**
   * @returns the present condition: whether the coordinator admits transactions, and how many there are of
   * each kind.
   */
  condition(): CoordinatorCondition {
    const { registry, admission, parts } = this.runtime;
    const { participants } = parts;
    const { stalled, heuristic, inDoubt, now } = new Snapshot(this.runtime);
    const oldest = (group: Group): number | null => {
      const ms = group.oldestMs(now);
      return ms === undefined ? null : Math.round(ms);
    };
    return {
      accepting: admission.isAccepting,
      draining: admission.isDraining,
      recovering: this.runtime.isRecovering,
      fenced: this.runtime.log.isLost,
      restartNeeded: this.runtime.log.isBroken,
      logProblem: this.runtime.log.problem ?? null,
      inFlight: registry.inFlight,
      maxInFlight: parts.options.maxInFlight,
      inDoubt: inDoubt.count,
      stalled: stalled.count,
      heuristic: heuristic.count,
      silent: participants.registered().filter((one) => one.silentSince(now) !== undefined).length,
      oldestInDoubtMs: oldest(inDoubt),
      oldestStalledMs: oldest(stalled),
    };
  }

  /** @returns the coordinator, its condition and its statistics since the start. */
  view(): CoordinatorView {
    const { parts, log } = this.runtime;
    return {
      name: parts.options.name,
      logId: log.run.logId,
      epoch: log.epoch,
      version: VERSION,
      durable: log.durable,
      startedAt: this.startedAt,
      condition: this.condition(),
      statistics: this.statistics(),
    };
  }

  /**
   * @param limit the most transactions in the list.
   * @returns the transactions that are in doubt for more than a moment, stalled, or hold a heuristic report:
   * the oldest first.
   */
  attention(limit: number): Attention {
    const { registry, parts } = this.runtime;
    const found = needingAttention(registry, parts.clock.now());
    return { transactions: found.slice(0, limit).map(summaryOf), total: found.length };
  }

  /** @returns the counts since the start. */
  statistics(): TransactionStatistics {
    return { ...this.reporter.statistics };
  }

  /** @returns the registered participants, with their options and counts. */
  participants(): ParticipantView[] {
    const { clock } = this.runtime.parts;
    const unresolved = this.runtime.registry.unresolved();
    return this.participantRegistry
      .registered()
      .map((participant) => participantView(participant, unresolved.get(participant)?.stalled ?? 0, clock));
  }

  /** @throws ParticipantNotFoundError */
  participant(name: string): ParticipantView {
    const found = this.participants().find((participant) => participant.name === name);
    if (found === undefined) throw new ParticipantNotFoundError(name);
    return found;
  }
}

function participantView(participant: RegisteredParticipant, stalled: number, clock: Clock): ParticipantView {
  const { options, className, onePhase, counts, paused } = participant;
  const now = clock.now();
  const silentSince = participant.silentSince(now);
  return {
    ...options,
    className,
    onePhase,
    ...remoteView(participant),
    paused: paused === undefined ? null : { ...paused, since: new Date(paused.since).toISOString() },
    silent:
      silentSince === undefined ? null : { since: new Date(epochMsOf(clock, silentSince)).toISOString() },
    counts: { ...counts, stalled },
    latency: latencyOf(participant),
    undecided: undecidedView(participant, now),
  };
}

function remoteView({ instance }: RegisteredParticipant): Pick<ParticipantView, 'remote'> {
  const { remoteAddress: address } = instance;
  return address === undefined ? {} : { remote: { address, contact: instance.remoteContact ?? null } };
}

function undecidedView(participant: RegisteredParticipant, now: number): UndecidedView {
  const { undecidable, foreign, oldest } = measurementsOf(participant).undecided;
  const shown = oldest.map(({ transactionId, branchId, reason, since }) => {
    const ageMs = Math.max(0, Math.round(now - since));
    return { transactionId, branchId, reason, ageMs };
  });
  return { undecidable, foreign, oldest: shown };
}
