import { Module } from '@nestjs/common';
import { AccountsController } from './accounts.controller.js';
import { Accounts } from './accounts.js';
import { Balances } from './balances.js';
import { PaymentParticipant } from './payment.participant.js';

/** The payment service, in memory: the customers' money, and its participant. */
@Module({
  controllers: [AccountsController],
  providers: [Accounts, { provide: Balances, useExisting: Accounts }, PaymentParticipant],
  exports: [Balances],
})
export class PaymentModule {}
