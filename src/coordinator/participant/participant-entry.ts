import type { Type } from '@nestjs/common';
import type { ResolvedParticipantOptions } from './participant.options.js';
import { type LastResource, LastResourceParticipant } from './last-resource.js';
import type { TransactionParticipant } from './participant.js';
import type { ParticipantCounts, Pause, RegisteredParticipant } from './registered-participant.js';

/**
 * One participant in the registry. It is a snapshot: it does not change, and it cannot be changed.
 *
 * @publicApi
 */
export interface ParticipantEntry {
  readonly name: string;
  /** For a last resource it is what the coordinator calls in its place: see {@link lastResource}. */
  readonly instance: TransactionParticipant;
  readonly className: string;
  readonly options: ResolvedParticipantOptions;
  /** The classes that name it, besides its name. */
  readonly classes: readonly Type<TransactionParticipant | LastResource>[];
  /** Its address; undefined if it is in this process. */
  readonly address: string | undefined;
  /** Since the start. */
  readonly counts: ParticipantCounts;
  /** The pause by an operator; undefined if it is not paused. */
  readonly paused: Pause | undefined;
  /** Whether it can commit the only branch of a transaction in one phase. */
  readonly onePhase: boolean;
  /** The service that cannot prepare; undefined for a participant that can. */
  readonly lastResource: LastResource | undefined;
  /** Whether its prepared branches outlive the process. */
  readonly preparesDurably: boolean;
  /** Whether it has accepted the run of the coordinator, if it must be claimed. */
  readonly isClaimed: boolean;
}

export function entryOf(participant: RegisteredParticipant): ParticipantEntry {
  const { name, instance, className, options, classes, address, counts, paused } = participant;
  const { onePhase, preparesDurably, isClaimed } = participant;
  return Object.freeze({
    name,
    instance,
    className,
    options,
    classes: Object.freeze([...classes]),
    address,
    counts: Object.freeze({ ...counts }),
    paused: paused && Object.freeze({ ...paused }),
    onePhase,
    lastResource: instance instanceof LastResourceParticipant ? instance.resource : undefined,
    preparesDurably,
    isClaimed,
  });
}
