import { Injectable, applyDecorators } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import type { ParticipantOptions } from './participant.options.js';

/** Holds the options that `@Participant` was given, on the class. */
export const ParticipantMetadata = DiscoveryService.createDecorator<ParticipantOptions>();

/**
 * Makes a provider a participant: it is found and registered when the application starts. The class implements
 * TransactionParticipant; what it lacks, and a name that is taken, stop the start with an error that says so.
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
