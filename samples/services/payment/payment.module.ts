import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { ProblemFilter } from 'nestjs-dtc/problem';
import { Database } from '../common/database.js';
import { participantHost } from '../common/participant-host.js';
import type { ParticipantSettings } from '../common/settings.js';
import { AccountsController } from './accounts.controller.js';
import { PaymentParticipant } from './payment.participant.js';

/** The money at the start, in cents. */
export const MONEY_AT_START = {
  alice: 10_000_000,
  bob: 10_000_000,
  carol: 10_000_000,
  dave: 1_000,
  erin: 10_000_000,
  frank: 10_000_000,
  grace: 10_000_000,
};

const TABLES = `
  CREATE TABLE IF NOT EXISTS accounts (customer text PRIMARY KEY, balance integer NOT NULL CHECK (balance >= 0));
  CREATE TABLE IF NOT EXISTS payments (order_id text PRIMARY KEY, customer text NOT NULL, amount integer NOT NULL);
  INSERT INTO accounts SELECT key, value::integer FROM json_each_text('${JSON.stringify(MONEY_AT_START)}')
    WHERE NOT EXISTS (SELECT FROM accounts)`;

/** The payment service: the customers' money, in a database of its own. */
@Module({})
export class PaymentModule {
  static forRoot(settings: ParticipantSettings): DynamicModule {
    return {
      module: PaymentModule,
      imports: [participantHost(settings)],
      controllers: [AccountsController],
      providers: [
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: Database, useFactory: () => new Database(settings.DATABASE_URL, TABLES) },
        PaymentParticipant,
      ],
    };
  }
}
