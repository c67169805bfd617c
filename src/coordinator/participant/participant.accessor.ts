import { Injectable } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import { ParticipantMetadata } from './participant.decorator.js';
import type { ParticipantOptions } from './participant.options.js';

/** Reads what `@Participant` wrote. */
@Injectable()
export class ParticipantAccessor {
  constructor(private readonly discovery: DiscoveryService) {}

  /** @returns every provider that bears the decorator, with its options. */
  findDecorated(): { wrapper: InstanceWrapper; options: ParticipantOptions }[] {
    return this.discovery.getProviders().flatMap((wrapper) => {
      const options = this.optionsOf(wrapper);
      return options === undefined ? [] : [{ wrapper, options }];
    });
  }

  private optionsOf(wrapper: InstanceWrapper): ParticipantOptions | undefined {
    const onInstance = this.discovery.getMetadataByDecorator(ParticipantMetadata, wrapper);
    if (onInstance !== undefined) return onInstance;
    // A provider overridden in a test is another class, or none: the token is still the decorated one.
    return typeof wrapper.token === 'function'
      ? (Reflect.getMetadata(ParticipantMetadata.KEY, wrapper.token) as ParticipantOptions | undefined)
      : undefined;
  }
}
