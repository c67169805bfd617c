import { type DynamicModule, Module } from '@nestjs/common';
import { CoordinatorModule } from '../../../src/coordinator/index.js';
import { PostgresDecisionLog, type PostgresParticipantOptions } from '../../../src/postgres/index.js';
import { COORDINATOR, PARTICIPANTS, type Settings } from '../messages.js';
import { Begun, PaymentService, ShippingService, StockService } from './participants.js';

/**
 * The number of finished transactions that are kept. With it each can be asked for until it was compared with
 * the books.
 */
const FINISHED_KEPT = 100_000;

/**
 * One member: a coordinator on the shared log, and services in three databases. All is real, and as it is by
 * default.
 */
@Module({})
export class MemberModule {
  static with({ run, logUrl, urls, leaseMs }: Settings, begun: Begun): DynamicModule {
    const coordinator = CoordinatorModule.forRoot({
      name: COORDINATOR,
      log: new PostgresDecisionLog({
        connection: { connectionString: logUrl, application_name: run },
        // The standby that takes over from the server is synchronous.
        synchronousStandbys: true,
      }),
      leaseMs,
      memberName: run,
      retainFinished: FINISHED_KEPT,
    });
    const options = PARTICIPANTS.map((name) => {
      const useValue: PostgresParticipantOptions = {
        connection: { connectionString: urls[name], application_name: run },
      };
      return { provide: name, useValue };
    });
    return {
      module: MemberModule,
      imports: [coordinator],
      providers: [
        { provide: Begun, useValue: begun },
        ...options,
        StockService,
        PaymentService,
        ShippingService,
      ],
    };
  }
}
