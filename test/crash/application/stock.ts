import { Inject } from '@nestjs/common';
import type { Connection, ResultSetHeader } from 'mysql2/promise';
import { type Branch, Participant, type Vote, refuse } from '../../../src/coordinator/index.js';
import { MariaDbParticipant, type MariaDbParticipantOptions } from '../../../src/mariadb/index.js';
import type { Posting } from './bank.js';

/** Takes one piece for each transfer, in MariaDB, while the money is in PostgreSQL. */
@Participant({ name: 'stock' })
export class Stock extends MariaDbParticipant<Posting> {
  constructor(@Inject('stock') options: MariaDbParticipantOptions) {
    super(options);
  }

  protected async work(connection: Connection, { transactionId, payload }: Branch<Posting>): Promise<Vote> {
    const [{ affectedRows }] = await connection.query<ResultSetHeader>(
      'UPDATE stock SET available = available - 1 WHERE name = ? AND available > 0',
      [payload.account],
    );
    await connection.query('INSERT INTO markers VALUES (?, ?)', [transactionId, payload.key]);
    return affectedRows === 1 ? 'commit' : refuse('OUT_OF_STOCK', 'there is none left');
  }
}
