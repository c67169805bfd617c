import { Injectable } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import { ParticipantMetadata } from './participant.decorator.js';
import type { ParticipantOptions } from './participant.options.js';

/** Reads the metadata that `@Participant` wrote. */
@Injectable()
export class ParticipantAccessor {
  constructor(private readonly discovery: DiscoveryService) {}

  /** @returns every provider that has the decorator, with its options. */
  findDecorated(): { wrapper: InstanceWrapper; options: ParticipantOptions }[] {
    return this.discovery.getProviders().flatMap((wrapper) => {
      const options = this.optionsOf(wrapper);
      return options === undefined ? [] : [{ wrapper, options }];
    });
  }

  private optionsOf(wrapper: InstanceWrapper): ParticipantOptions | undefined {
    const onInstance = this.discovery.getMetadataByDecorator(ParticipantMetadata, wrapper);
    if (onInstance !== undefined) return onInstance;
    // A test may override the provider with another class, or with no class. The token is still the decorated
    // class.
    return typeof wrapper.token === 'function'
      ? (Reflect.getMetadata(ParticipantMetadata.KEY, wrapper.token) as ParticipantOptions | undefined)
      : undefined;
  }
}
