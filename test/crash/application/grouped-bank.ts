import { Inject } from '@nestjs/common';
import type { QueryConfig, QueryResult } from 'pg';
import { type Branch, Participant, type Vote, refuse } from '../../../src/coordinator/index.js';
import { PostgresBatchParticipant, type PostgresParticipantOptions } from '../../../src/postgres/index.js';
import type { Posting } from './bank.js';

/** As a bank that takes part in groups: its work is given as statements. */
abstract class GroupedBank extends PostgresBatchParticipant<Posting> {
  constructor(options: PostgresParticipantOptions) {
    super({ ...options, grouped: true });
  }

  protected statements({ transactionId, payload: { key, account, amount } }: Branch<Posting>): QueryConfig[] {
    // Each has a text of its own: on a busy machine one of them is slow, and its text then stays out of
    // groups for a while.
    const number = Number(/\d+/.exec(key)![0]);
    return [
      {
        text: `UPDATE accounts SET balance = balance + $2 WHERE name = $1 AND balance + $2 >= 0 AND ${number} > 0`,
        values: [account, amount],
      },
      {
        text: 'INSERT INTO markers (transaction_id, key, amount) VALUES ($1, $2, $3)',
        values: [transactionId, key, amount],
      },
    ];
  }

  protected vote([updated]: readonly QueryResult[]): Vote {
    return updated?.rowCount === 1 ? 'commit' : refuse('NO_FUNDS', 'there is not enough in the account');
  }
}

@Participant({ name: 'payer-in-groups' })
export class GroupedPayerBank extends GroupedBank {
  constructor(@Inject('payer') options: PostgresParticipantOptions) {
    super(options);
  }
}

@Participant({ name: 'payee-in-groups' })
export class GroupedPayeeBank extends GroupedBank {
  constructor(@Inject('payee') options: PostgresParticipantOptions) {
    super(options);
  }
}

@Participant({ name: 'house-in-groups' })
export class GroupedHouseBank extends GroupedBank {
  constructor(@Inject('house') options: PostgresParticipantOptions) {
    super(options);
  }
}
