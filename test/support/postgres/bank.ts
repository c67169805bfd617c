import { Inject, type LoggerService, type Type } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import type { ClientBase } from 'pg';
import {
  type Branch,
  CoordinatorModule,
  type CoordinatorModuleOptions,
  Participant,
  TransactionManager,
  type TransactionParticipant,
  type Vote,
  refuse,
} from '../../../src/coordinator/index.js';
import { PostgresParticipant, type PostgresParticipantOptions } from '../../../src/postgres/index.js';
import type { TestDatabase } from './server.js';

/** Money put into an account, or taken from it. */
export interface Posting {
  readonly account: string;
  readonly amount: number;
}

/** Accounts in one database. A test may do something before the work, or after it. */
abstract class BankParticipant extends PostgresParticipant<Posting> {
  beforeWork: (branch: Branch<Posting>, client: ClientBase) => Promise<void> = async () => {};
  afterWork: (branch: Branch<Posting>, client: ClientBase) => Promise<void> = async () => {};

  protected async work(client: ClientBase, branch: Branch<Posting>): Promise<Vote> {
    await this.beforeWork(branch, client);
    const { account, amount } = branch.payload;
    const { rowCount } = await client.query(
      'UPDATE accounts SET balance = balance + $2 WHERE name = $1 AND balance + $2 >= 0',
      [account, amount],
    );
    await this.afterWork(branch, client);
    return rowCount === 1 ? 'commit' : refuse('NO_FUNDS', 'there is not enough in the account');
  }
}

@Participant({ name: 'left' })
export class LeftBank extends BankParticipant {
  constructor(@Inject('left') options: PostgresParticipantOptions) {
    super(options);
  }
}

@Participant({ name: 'right' })
export class RightBank extends BankParticipant {
  constructor(@Inject('right') options: PostgresParticipantOptions) {
    super(options);
  }
}

/** An application with two banks. */
export interface Banks {
  readonly application: TestingModule;
  readonly transactions: TransactionManager;
  readonly left: LeftBank;
  readonly right: RightBank;
}

/** The choices of a test. */
export interface BankOptions {
  readonly left: PostgresParticipantOptions;
  readonly right: PostgresParticipantOptions;
  readonly coordinator?: CoordinatorModuleOptions;
  readonly others?: readonly Type<TransactionParticipant>[];
}

/** Stalled branches and heuristic reports are what these tests are about, and are no news. */
const SILENCE: LoggerService = { log() {}, warn() {}, error() {} };

/** Starts an application with a bank in each of two databases, and everything else real. */
export async function startBanks({
  left,
  right,
  coordinator = {},
  others = [],
}: BankOptions): Promise<Banks> {
  const application = await Test.createTestingModule({
    imports: [
      CoordinatorModule.forRoot({
        allowMemoryLog: true,
        recoveryIntervalMs: 50,
        retryBaseMs: 20,
        retryCapMs: 100,
        ...coordinator,
      }),
    ],
    providers: [
      { provide: 'left', useValue: left },
      { provide: 'right', useValue: right },
      LeftBank,
      RightBank,
      ...others,
    ],
  })
    .setLogger(SILENCE)
    .compile();
  try {
    await application.init();
  } catch (error) {
    // Claims that one participant had before another one refused the start are given back.
    await application.close();
    throw error;
  }
  return {
    application,
    transactions: application.get(TransactionManager),
    left: application.get(LeftBank),
    right: application.get(RightBank),
  };
}

/** Makes the table of a bank. @param names each gets 100. */
export async function openAccounts(database: TestDatabase, ...names: string[]): Promise<void> {
  await database.query(
    'CREATE TABLE accounts (name text PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0))',
  );
  await database.query('INSERT INTO accounts SELECT unnest($1::text[]), 100', [names]);
}

export async function balanceOf(database: TestDatabase, account: string): Promise<number | undefined> {
  const { rows } = await database.query<{ balance: number }>('SELECT balance FROM accounts WHERE name = $1', [
    account,
  ]);
  return rows[0]?.balance;
}

/** From now on a transaction that changes accounts takes this long in PREPARE TRANSACTION or COMMIT. */
export async function sleepInPrepare(database: TestDatabase, seconds: number): Promise<void> {
  await database.query(`
    CREATE OR REPLACE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_sleep(${seconds}); RETURN NULL; END $$;
    DROP TRIGGER IF EXISTS doze ON accounts;
    CREATE CONSTRAINT TRIGGER doze AFTER UPDATE ON accounts DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION doze();`);
}

/** The row of a branch in the guard table: how it ended. */
export async function endOf(database: TestDatabase, gid: string): Promise<string | undefined> {
  const { rows } = await database.query<{ state: string }>('SELECT state FROM dtc_branches WHERE gid = $1', [
    gid,
  ]);
  return rows[0]?.state;
}
