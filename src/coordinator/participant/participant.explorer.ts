import { Injectable, type OnModuleInit } from '@nestjs/common';
import { ParticipantAccessor } from './participant.accessor.js';
import { ParticipantRegistry } from './participant.registry.js';

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
    for (const { instance, token, options } of this.accessor.findDecorated()) {
      this.registry.register(instance, options, ...(token === undefined ? [] : [token]));
    }
  }
}
