import { setTimeout } from 'node:timers/promises';
import { Inject } from '@nestjs/common';
import type { Pool } from 'pg';
import {
  type Branch,
  Participant,
  type PreparedBranch,
  type TransactionParticipant,
  type Vote,
  branchKey,
} from '../../../src/coordinator/index.js';
import type { Posting } from './bank.js';
import { CrashPoints } from './crash-points.js';

/** Long enough for a decision on a busy machine, and over before a killed application is up again. */
const VALID_FOR_MS = 2_000;
/** Over before the vote can be counted. */
const TOO_SHORT_MS = 1;

interface Hold {
  readonly transaction_id: string;
  readonly branch_id: string;
}

/**
 * The house as a service that holds an amount for a limited time, as one does that authorises a card. It can
 * settle it later as well.
 */
@Participant({ name: 'holding-house' })
export class HoldingHouse implements TransactionParticipant<Posting> {
  constructor(
    @Inject('last-house') private readonly pool: Pool,
    private readonly points: CrashPoints,
  ) {}

  prepare(branch: Branch<Posting>): Promise<Vote> {
    const { transactionId, branchId, payload } = branch;
    return this.points.around('hold', transactionId, async () => {
      await this.pool.query('INSERT INTO holds VALUES ($1, $2, $3)', [
        branchKey(branch),
        transactionId,
        branchId,
      ]);
      if (payload.manner === 'expired') await setTimeout(2 * TOO_SHORT_MS);
      const validForMs = payload.manner === 'expired' ? TOO_SHORT_MS : VALID_FOR_MS;
      return { vote: 'commit', validForMs };
    });
  }

  async commit(branch: Branch<Posting>): Promise<void> {
    const { key, account, amount } = branch.payload;
    // One statement, so that a hold is settled once, however often this comes.
    await this.points.around('settle', branch.transactionId, () =>
      this.pool.query(
        `WITH hold AS (DELETE FROM holds WHERE branch = $1 RETURNING transaction_id),
           paid AS (UPDATE accounts SET balance = balance + $3 WHERE name = $2 AND EXISTS (SELECT FROM hold))
         INSERT INTO markers (transaction_id, key, amount) SELECT transaction_id, $4, $3 FROM hold`,
        [branchKey(branch), account, amount, key],
      ),
    );
  }

  async rollback(branch: Branch<Posting>): Promise<void> {
    await this.points.around('release', branch.transactionId, () =>
      this.pool.query('DELETE FROM holds WHERE branch = $1', [branchKey(branch)]),
    );
  }

  async recover(): Promise<PreparedBranch[]> {
    const { rows } = await this.pool.query<Hold>('SELECT transaction_id, branch_id FROM holds');
    return rows.map(({ transaction_id: transactionId, branch_id: branchId }) => ({
      transactionId,
      branchId,
    }));
  }
}
