import { Inject, Optional } from '@nestjs/common';
import type { ClientBase, PoolClient } from 'pg';
import {
  type Branch,
  HeuristicError,
  Participant,
  type Vote,
  refuse,
} from '../../../src/coordinator/index.js';
import {
  type PostgresOutbox,
  PostgresParticipant,
  type PostgresParticipantOptions,
} from '../../../src/postgres/index.js';
import type { Manner } from '../messages.js';
import { CrashPoints } from './crash-points.js';

/**
 * The work of one branch: it puts money into an account or takes it from there, and writes a row about it.
 */
export interface Posting {
  readonly key: string;
  readonly account: string;
  readonly amount: number;
  readonly manner: Manner;
  readonly bulk?: string;
}

/** When transfers go on that wait for something. */
export class Gates {
  /** Opened when the application is told to end. */
  readonly ending = Promise.withResolvers<void>();
  private readonly prepared = new Map<string, { count: number; readonly both: PromiseWithResolvers<void> }>();

  preparedOne(transactionId: string): void {
    const meeting = this.meeting(transactionId);
    if (++meeting.count === 2) meeting.both.resolve();
  }

  /** @returns a promise that resolves when two branches of a transaction are prepared. */
  async bothPrepared(transactionId: string): Promise<void> {
    await this.meeting(transactionId).both.promise;
    this.prepared.delete(transactionId);
  }

  private meeting(transactionId: string): { count: number; readonly both: PromiseWithResolvers<void> } {
    let meeting = this.prepared.get(transactionId);
    if (meeting === undefined) {
      meeting = { count: 0, both: Promise.withResolvers() };
      this.prepared.set(transactionId, meeting);
    }
    return meeting;
  }
}

/** Accounts in one database, and a marker of each transaction that has changed them. */
abstract class Bank extends PostgresParticipant<Posting> {
  constructor(
    options: PostgresParticipantOptions,
    protected readonly gates: Gates,
  ) {
    super(options);
  }

  override async prepare(branch: Branch<Posting>): Promise<Vote> {
    const vote = await super.prepare(branch);
    if (branch.payload.manner === 'refused-last') this.gates.preparedOne(branch.transactionId);
    return vote;
  }

  protected async work(client: ClientBase, branch: Branch<Posting>): Promise<Vote> {
    const { key, account, amount } = branch.payload;
    const { rowCount } = await client.query(
      'UPDATE accounts SET balance = balance + $2 WHERE name = $1 AND balance + $2 >= 0',
      [account, amount],
    );
    await client.query('INSERT INTO markers (transaction_id, key, amount) VALUES ($1, $2, $3)', [
      branch.transactionId,
      key,
      amount,
    ]);
    return rowCount === 1 ? 'commit' : refuse('NO_FUNDS', 'there is not enough in the account');
  }
}

@Participant({ name: 'payer' })
export class PayerBank extends Bank {
  constructor(@Inject('payer') options: PostgresParticipantOptions, gates: Gates) {
    super(options, gates);
  }
}

@Participant({ name: 'payee' })
export class PayeeBank extends Bank {
  constructor(
    @Inject('payee') options: PostgresParticipantOptions,
    gates: Gates,
    private readonly points: CrashPoints,
    @Optional() @Inject('outbox') private readonly outbox?: PostgresOutbox,
  ) {
    super(options, gates);
  }

  protected override async work(client: ClientBase, branch: Branch<Posting>): Promise<Vote> {
    const vote = await super.work(client, branch);
    if (this.outbox === undefined || !branch.payload.manner.endsWith('messaging')) return vote;
    const message = { topic: 'paid', key: 'payees', payload: { transfer: branch.payload.key } };
    await this.points.around('outbox row', branch.transactionId, () =>
      this.outbox!.add(client as PoolClient, branch, message),
    );
    return vote;
  }
}

/** The one that takes a fee, and refuses, waits and reports as the transfer has it. */
@Participant({ name: 'house' })
export class HouseBank extends Bank {
  constructor(@Inject('house') options: PostgresParticipantOptions, gates: Gates) {
    super(options, gates);
  }

  private readonly stuck = new Set<string>();

  override async commit(branch: Branch<Posting>): Promise<void> {
    if (this.stuck.has(branch.transactionId)) await new Promise<never>(() => {});
    await super.commit(branch);
    if (branch.payload.manner === 'reported')
      throw new HeuristicError('hazard', 'the house is not sure of it');
  }

  protected override async work(client: ClientBase, branch: Branch<Posting>): Promise<Vote> {
    const { manner } = branch.payload;
    const vote = await super.work(client, branch);
    if (manner === 'stuck') this.stuck.add(branch.transactionId);
    if (manner === 'held') await this.gates.ending.promise;
    if (manner === 'refused-last') await this.gates.bothPrepared(branch.transactionId);
    return manner.startsWith('refused') ? refuse('REFUSED', 'as it was told') : vote;
  }
}
