import { Inject } from '@nestjs/common';
import type { ClientBase, QueryConfig, QueryResult } from 'pg';
import { type Branch, Participant, type Vote, refuse } from '../../../src/coordinator/index.js';
import {
  PostgresBatchParticipant,
  PostgresParticipant,
  type PostgresParticipantOptions,
} from '../../../src/postgres/index.js';
import type { Manner } from '../messages.js';

/** The work of one branch. */
export interface Posting {
  readonly key: string;
  readonly manner: Manner;
  readonly id: number;
  readonly amount: number;
}

/** Hears of each transaction as soon as a branch of it is at work. */
export class Begun {
  constructor(readonly tell: (key: string, transactionId: string) => void) {}
}

const MARK = 'INSERT INTO markers (transaction_id, key, amount) VALUES ($1, $2, $3)';

/** Work in one database, and a row that says which transaction has done it. */
abstract class Service extends PostgresParticipant<Posting> {
  constructor(
    options: PostgresParticipantOptions,
    private readonly begun: Begun,
  ) {
    super(options);
  }

  protected async work(client: ClientBase, { transactionId, payload }: Branch<Posting>): Promise<Vote> {
    this.begun.tell(payload.key, transactionId);
    if (payload.manner === 'read-only') {
      await client.query('SELECT sum(amount) FROM amounts WHERE id = $1', [payload.id]);
      return 'read-only';
    }
    const vote = await this.change(client, payload);
    const amount = payload.manner === 'one-phase' ? 0 : payload.amount;
    await client.query(MARK, [transactionId, payload.key, amount]);
    return vote;
  }

  protected abstract change(client: ClientBase, posting: Posting): Promise<Vote>;
}

async function take(client: ClientBase, id: number, amount: number): Promise<Vote> {
  const { rowCount } = await client.query(
    'UPDATE amounts SET amount = amount - $2 WHERE id = $1 AND amount >= $2',
    [id, amount],
  );
  return rowCount === 1 ? 'commit' : refuse('NOT_ENOUGH', 'there is not enough of it');
}

@Participant({ name: 'stock' })
export class StockService extends Service {
  constructor(@Inject('stock') options: PostgresParticipantOptions, begun: Begun) {
    super(options, begun);
  }

  protected change(client: ClientBase, { id, amount }: Posting): Promise<Vote> {
    return take(client, id, amount);
  }
}

@Participant({ name: 'payment' })
export class PaymentService extends Service {
  constructor(@Inject('payment') options: PostgresParticipantOptions, begun: Begun) {
    super(options, begun);
  }

  protected async change(client: ClientBase, { id, amount, manner }: Posting): Promise<Vote> {
    if (manner === 'refused') return refuse('DECLINED', 'as the order has it');
    const vote = await take(client, id, amount);
    if (manner === 'one-phase')
      await client.query('UPDATE amounts SET amount = amount + $2 WHERE id = $1', [id + 1, amount]);
    return vote;
  }
}

/** Its statements are known beforehand. */
@Participant({ name: 'shipping' })
export class ShippingService extends PostgresBatchParticipant<Posting> {
  constructor(@Inject('shipping') options: PostgresParticipantOptions) {
    super(options);
  }

  protected statements({ transactionId, payload }: Branch<Posting>): readonly QueryConfig[] {
    const { id, key, amount } = payload;
    return [
      { text: 'UPDATE amounts SET amount = amount + $2 WHERE id = $1', values: [id, amount] },
      { text: MARK, values: [transactionId, key, amount] },
    ];
  }

  protected vote([changed]: readonly QueryResult[]): Vote {
    return changed!.rowCount === 1 ? 'commit' : refuse('UNKNOWN', 'there is no such item');
  }
}
