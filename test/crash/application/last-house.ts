import { Inject } from '@nestjs/common';
import type { Pool, PoolClient } from 'pg';
import {
  type Branch,
  type LastResource,
  type LastResourceAnswer,
  Participant,
  branchKey,
  refuse,
} from '../../../src/coordinator/index.js';
import type { Posting } from './bank.js';
import { CrashPoints } from './crash-points.js';

/**
 * The house without two-phase commit: its work and its decision are one local transaction. The answer `never`
 * is a row as well, on which a late commit fails.
 */
@Participant({ name: 'last-house', lastResource: true })
export class LastHouse implements LastResource<Posting> {
  constructor(
    @Inject('last-house') private readonly pool: Pool,
    private readonly points: CrashPoints,
  ) {}

  commit(branch: Branch<Posting>): Promise<LastResourceAnswer> {
    if (branch.payload.manner === 'refused-by-last')
      return this.points.around('last commit', branch.transactionId, () =>
        refuse('REFUSED', 'as it was told'),
      );
    return this.points.around('last commit', branch.transactionId, () =>
      this.transact(async (client) => {
        const { key, account, amount } = branch.payload;
        await client.query("INSERT INTO decisions VALUES ($1, 'committed')", [branchKey(branch)]);
        await client.query('UPDATE accounts SET balance = balance + $2 WHERE name = $1', [account, amount]);
        await client.query('INSERT INTO markers (transaction_id, key, amount) VALUES ($1, $2, $3)', [
          branch.transactionId,
          key,
          amount,
        ]);
        return 'committed' as const;
      }),
    );
  }

  inquire(branch: Branch<Posting>): Promise<LastResourceAnswer> {
    return this.points.around('inquire', branch.transactionId, async () => {
      const key = branchKey(branch);
      // If the commit of a process that was killed is under way, this waits for its end.
      await this.pool.query("INSERT INTO decisions VALUES ($1, 'never') ON CONFLICT DO NOTHING", [key]);
      const { rows } = await this.pool.query<{ outcome: LastResourceAnswer }>(
        'SELECT outcome FROM decisions WHERE branch = $1',
        [key],
      );
      return rows[0]!.outcome;
    });
  }

  private async transact<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      client.release();
      return result;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }
}
