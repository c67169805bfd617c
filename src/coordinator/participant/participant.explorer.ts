import { Injectable, type OnModuleInit, type Type } from '@nestjs/common';
import { InvalidParticipantError } from '../errors.js';
import { ParticipantAccessor } from './participant.accessor.js';
import { ParticipantRegistry } from './participant.registry.js';
import type { TransactionParticipant } from './participant.js';

/** Finds the decorated providers when the application starts, and registers them. */
@Injectable()
export class ParticipantExplorer implements OnModuleInit {
  constructor(
    private readonly accessor: ParticipantAccessor,
    private readonly registry: ParticipantRegistry,
  ) {}

  /**
   * @throws InvalidParticipantError for a provider that is not one instance for the whole application.
   * @throws DuplicateParticipantError, InvalidOptionsError as {@link ParticipantRegistry.register} does.
   */
  onModuleInit(): void {
    const seen = new Set<unknown>();
    for (const { wrapper, options } of this.accessor.findDecorated()) {
      const className = String(wrapper.name);
      if (!wrapper.isDependencyTreeStatic() || wrapper.isTransient) {
        throw new InvalidParticipantError(
          className,
          'it is request-scoped or transient, and a decision may be delivered long after its request',
          'Make it, and everything it injects, a default-scoped provider.',
        );
      }
      // useExisting gives one instance under two tokens; the same class in two modules gives two instances.
      if (seen.has(wrapper.instance)) continue;
      seen.add(wrapper.instance);
      const aliases =
        typeof wrapper.token === 'function' ? [wrapper.token as Type<TransactionParticipant>] : [];
      this.registry.register(wrapper.instance as TransactionParticipant, options, ...aliases);
    }
  }
}
