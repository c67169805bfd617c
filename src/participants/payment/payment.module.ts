import { Module } from '@nestjs/common';
import { AccountsController } from './accounts.controller.js';
import { Accounts } from './accounts.js';
import { PaymentParticipant } from './payment.participant.js';

/** The payment service: the customers' money, and its part in transactions. */
@Module({
  controllers: [AccountsController],
  providers: [Accounts, PaymentParticipant],
})
export class PaymentModule {}
