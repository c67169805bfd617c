import type { QueryConfig, QueryResult } from 'pg';
import { type Branch, Participant, type Vote } from '../../../coordinator/index.js';
import { PostgresBatchParticipant } from '../../../postgres/index.js';
import { ServiceDatabase } from '../../postgres/service-database.js';
import { type Charge, refuseCharge } from '../payment.participant.js';
import { ACCOUNT_SCHEMA } from './account-table.js';

/**
 * Charges a customer. The account stays locked until the decision, so that no other order spends the same
 * money.
 */
@Participant({ name: 'payment' })
export class PostgresPaymentParticipant extends PostgresBatchParticipant<Charge> {
  constructor(private readonly database: ServiceDatabase) {
    super(database.participantOptions);
  }

  override async onModuleInit(): Promise<void> {
    await super.onModuleInit();
    await this.database.createSchema(ACCOUNT_SCHEMA);
  }

  protected statements({ payload: { customerId, amount } }: Branch<Charge>): QueryConfig[] {
    return [
      {
        text: 'UPDATE accounts SET balance = balance - $2 WHERE customer_id = $1 AND balance >= $2',
        values: [customerId, amount],
      },
      { text: 'SELECT FROM accounts WHERE customer_id = $1', values: [customerId] },
    ];
  }

  protected vote([charged, found]: readonly QueryResult[]): Vote {
    if (charged?.rowCount === 1) return 'commit';
    return refuseCharge(found?.rowCount === 1 ? 'INSUFFICIENT_FUNDS' : 'UNKNOWN_CUSTOMER');
  }
}
