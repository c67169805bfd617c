import type { DynamicModule } from '@nestjs/common';
import { ParticipantHostModule } from 'nestjs-dtc/host';
import { PostgresGuardStore } from 'nestjs-dtc/postgres';
import { type ParticipantSettings, tokensIn } from './settings.js';

/**
 * Serves the participants of a service to the coordinators, and registers them there.
 *
 * @returns the module that a service imports.
 */
export function participantHost(settings: ParticipantSettings): DynamicModule {
  return ParticipantHostModule.forRoot({
    credentials: tokensIn(settings, 'coordinator'),
    guard: new PostgresGuardStore({ connection: settings.DATABASE_URL }),
    contact: {
      members: settings.COORDINATORS,
      credentials: tokensIn(settings, 'participant'),
      address: `${settings.ADDRESS}/participants`,
      intervalMs: 2_000,
    },
  });
}
