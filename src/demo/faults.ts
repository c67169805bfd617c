import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { ParticipantRegistry } from '../coordinator/index.js';
import { FaultyParticipant } from './faulty-participant.js';

/**
 * Replaces every participant with a {@link FaultyParticipant} when the application starts. Neither the
 * participants nor the coordinator know of it: any application can do this with the registry.
 */
@Injectable()
export class Faults implements OnApplicationBootstrap {
  private readonly participants = new Map<string, FaultyParticipant>();

  constructor(private readonly registry: ParticipantRegistry) {}

  onApplicationBootstrap(): void {
    for (const { name, instance, options, classes } of this.registry.list()) {
      const faulty = new FaultyParticipant(instance);
      this.registry.unregister(name);
      // Branches that name the participant by a class still find it.
      this.registry.register(faulty, options, ...classes);
      this.participants.set(name, faulty);
    }
  }

  /** @returns the participant of this name, or undefined. */
  of(participant: string): FaultyParticipant | undefined {
    return this.participants.get(participant);
  }

  all(): ReadonlyMap<string, FaultyParticipant> {
    return this.participants;
  }
}
