import { Injectable } from '@nestjs/common';
import { type Outcome, TransactionManager, branch } from 'nestjs-dtc';
import { NorthBank, SouthBank } from './banks.js';

/** Sends money from one bank to another. */
@Injectable()
export class TransfersService {
  constructor(private readonly transactions: TransactionManager) {}

  send(cents: number): Promise<Outcome> {
    return this.transactions.run({
      name: 'transfer',
      branches: [
        branch(NorthBank, { account: 'ada', amount: cents }),
        branch(SouthBank, { account: 'bob', amount: -cents }),
      ],
    });
  }
}
