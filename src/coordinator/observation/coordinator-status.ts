import { Inject, Injectable } from '@nestjs/common';
import { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { ParticipantCounts, RegisteredParticipant } from '../participant/registered-participant.js';
import type { ResolvedParticipantOptions } from '../participant/participant.options.js';
import { ParticipantRegistry } from '../participant/participant.registry.js';
import { Reporter } from './reporter.js';
import type { TransactionStatistics } from './statistics.js';

/** How the coordinator is now. @publicApi */
export interface CoordinatorCondition {
  /** Whether it takes new transactions. */
  readonly accepting: boolean;
  /** Whether decisions of earlier runs have yet to be tried for the first time. */
  readonly recovering: boolean;
  /** Why the decision log takes no records, or null while it does. */
  readonly logProblem: string | null;
  /** Whether the decision log is broken until the process is started anew. */
  readonly restartNeeded: boolean;
  readonly inFlight: number;
  readonly maxInFlight: number;
  /** Transactions with a stalled branch. */
  readonly stalled: number;
  /** Transactions with a heuristic report that nobody has dealt with. */
  readonly heuristic: number;
}

/** A participant as it is shown to people. @publicApi */
export interface ParticipantView extends ResolvedParticipantOptions {
  readonly className: string;
  readonly onePhase: boolean;
  readonly counts: Readonly<ParticipantCounts>;
}

/** How the coordinator and its participants are, for health checks and listings. @publicApi */
@Injectable()
export class CoordinatorStatus {
  constructor(
    @Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime,
    private readonly participantRegistry: ParticipantRegistry,
    private readonly reporter: Reporter,
  ) {}

  /** @returns how it is at this moment: whether it takes transactions, and how many there are of which kind. */
  condition(): CoordinatorCondition {
    const { registry, admission, parts } = this.runtime;
    let stalled = 0;
    let heuristic = 0;
    for (const transaction of registry.unsettled) {
      if (transaction.isStalled) stalled++;
      if (transaction.hasHeuristics) heuristic++;
    }
    return {
      accepting: admission.isOpen,
      recovering: this.runtime.isRecovering,
      restartNeeded: this.runtime.log.isBroken,
      logProblem: this.runtime.log.problem ?? null,
      inFlight: registry.inFlight,
      maxInFlight: parts.options.maxInFlight,
      stalled,
      heuristic,
    };
  }

  /** @returns what has happened since the start. */
  statistics(): TransactionStatistics {
    return { ...this.reporter.statistics };
  }

  /** @returns the participants that are registered now, with their options and counts. */
  participants(): ParticipantView[] {
    return this.participantRegistry.list().map(participantView);
  }
}

function participantView({ options, className, onePhase, counts }: RegisteredParticipant): ParticipantView {
  return { ...options, className, onePhase, counts: { ...counts } };
}
