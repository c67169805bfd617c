import { Injectable, type Type } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import { InvalidParticipantError } from '../errors.js';
import { ParticipantMetadata } from './participant.decorator.js';
import type { ParticipantOptions } from './participant.options.js';
import type { TransactionParticipant } from './participant.js';

/** An instance whose class, or the class that is its token, has the decorator. */
export interface DecoratedParticipant {
  readonly instance: TransactionParticipant;
  readonly className: string;
  /** The class by which other providers inject it. */
  readonly token: Type<TransactionParticipant> | undefined;
  readonly options: ParticipantOptions;
}

/** Reads the metadata that `@Participant` wrote. */
@Injectable()
export class ParticipantAccessor {
  constructor(private readonly discovery: DiscoveryService) {}

  /**
   * Finds every instance that has the decorator, each once: useExisting gives one instance under two tokens,
   * and the same class in two modules gives two instances.
   *
   * @throws InvalidParticipantError for a provider that is not one instance for the whole application.
   */
  *findDecorated(): Generator<DecoratedParticipant> {
    const seen = new Set<unknown>();
    for (const wrapper of this.discovery.getProviders()) {
      const options = this.optionsOf(wrapper);
      if (options === undefined) continue;
      const className = String(wrapper.name);
      if (!wrapper.isDependencyTreeStatic() || wrapper.isTransient) {
        throw new InvalidParticipantError(
          className,
          'it is request-scoped or transient, and a decision may be delivered long after its request',
          'Make it, and everything it injects, a default-scoped provider.',
        );
      }
      if (seen.has(wrapper.instance)) continue;
      seen.add(wrapper.instance);
      const token =
        typeof wrapper.token === 'function' ? (wrapper.token as Type<TransactionParticipant>) : undefined;
      yield { instance: wrapper.instance as TransactionParticipant, className, token, options };
    }
  }

  private optionsOf(wrapper: InstanceWrapper): ParticipantOptions | undefined {
    const { instance, metatype } = wrapper as { instance: unknown; metatype: unknown };
    // A value without a class, such as undefined or one without a prototype, has no metadata, and Nest would
    // throw.
    const isOfClass =
      typeof ((instance as object | null | undefined)?.constructor ?? metatype) === 'function';
    const onInstance = isOfClass
      ? this.discovery.getMetadataByDecorator(ParticipantMetadata, wrapper)
      : undefined;
    if (onInstance !== undefined) return onInstance;
    // A test may override the provider with another class, or with no class. The token is still the decorated
    // class.
    return typeof wrapper.token === 'function'
      ? (Reflect.getMetadata(ParticipantMetadata.KEY, wrapper.token) as ParticipantOptions | undefined)
      : undefined;
  }
}
