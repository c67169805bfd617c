import { Body, Controller, Headers, Module, Post } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import {
  type CommittedOutcome,
  CoordinatorModule,
  NotCommittedError,
  Participant,
  TransactionManager,
  type TransactionParticipant,
  type Vote,
  branch,
  requestIdFrom,
} from '../../src/coordinator/index.js';
import { ProblemFilter } from '../../src/operations/problem/index.js';
import { RemoteParticipantsModule } from '../../src/remote/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import { serve } from './serve.js';

/** Rents rooms, in this process. */
@Participant({ name: 'hotels' })
class Hotels implements TransactionParticipant<string> {
  prepare(): Vote {
    return 'commit';
  }

  commit(): void {}

  rollback(): void {}
}

@Controller('journeys')
class JourneysController {
  constructor(private readonly transactions: TransactionManager) {}

  /**
   * Books a room and a seat, or neither: 201 when both are booked, 202 when that is decided and a service has not answered yet. The
   * span of the HTTP request is the parent of the transaction.
   */
  @Post()
  async book(
    @Body() { city }: { readonly city: string },
    @Headers('x-request-id') header: unknown,
  ): Promise<CommittedOutcome> {
    const requestId = requestIdFrom(header);
    const outcome = await this.transactions.run({
      name: 'book-journey',
      branches: [branch(Hotels, city), branch('flights', city)],
      attributes: { city },
      ...(requestId !== undefined && { requestId }),
    });
    if (outcome.status !== 'committed') throw new NotCommittedError(outcome);
    return outcome;
  }
}

@Module({
  imports: [
    CoordinatorModule.forRoot({
      name: 'shop',
      // After a crash the next start finds here what is decided, and in whose trace.
      log: new SqliteDecisionLog({ path: process.env['LOG_FOLDER'] ?? 'data/telemetry' }),
      completionWaitMs: 500,
    }),
    RemoteParticipantsModule.forRoot({
      credentials: process.env['TOKEN']!,
      participants: [{ name: 'flights', address: `${process.env['AIRLINE']}/participants` }],
    }),
  ],
  controllers: [JourneysController],
  providers: [Hotels, { provide: APP_FILTER, useClass: ProblemFilter }],
})
class ShopModule {}

await serve(ShopModule);
