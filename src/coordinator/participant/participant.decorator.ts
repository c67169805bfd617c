import { Injectable, applyDecorators } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import type { ParticipantOptions } from './participant.options.js';

/** The metadata key of the options of `@Participant`. */
export const ParticipantMetadata = DiscoveryService.createDecorator<ParticipantOptions>();

/**
 * Makes a provider a participant, which is registered when the application starts. The class implements
 * TransactionParticipant. If a method is missing or the name is taken, the start fails with an error that
 * says so.
 *
 * @example
 * ```ts
 * @Participant({ name: 'inventory', prepareTimeoutMs: 500 })
 * export class InventoryParticipant implements TransactionParticipant<Reservation> {
 * ```
 * @publicApi
 */
export function Participant(options: ParticipantOptions): ClassDecorator {
  return applyDecorators(Injectable(), ParticipantMetadata(options));
}
