import type { Provider } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import type { ClientBase, QueryConfig, QueryResult } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type Branch,
  CoordinatorModule,
  Participant,
  ParticipantRegistry,
  TransactionManager,
  type Vote,
  branch,
  refuse,
} from '../../src/coordinator/index.js';
import { PostgresBatchParticipant, PostgresParticipant } from '../../src/postgres/index.js';
import {
  LeftBank,
  type Posting,
  RightBank,
  balanceOf,
  openAccounts,
  startBanks,
} from '../support/postgres/bank.js';
import { someBranch } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';

let server: PostgresServer;
let database: TestDatabase;

beforeAll(async () => {
  server = await PostgresServer.start();
});

afterAll(() => server.stop());

beforeEach(async () => {
  database = await server.createDatabase();
  await openAccounts(database, 'ann', 'bob');
});

@Participant({ name: 'ledger' })
class Ledger extends PostgresBatchParticipant<Posting> {
  constructor() {
    super({ connection: database.url });
  }

  protected statements({ payload: { account, amount } }: Branch<Posting>): QueryConfig[] {
    return [
      { text: 'UPDATE accounts SET balance = balance + $2 WHERE name = $1', values: [account, amount] },
    ];
  }

  protected vote([updated]: readonly QueryResult[], { payload }: Branch<Posting>): Vote {
    return updated?.rowCount === 1
      ? 'commit'
      : refuse('NO_ACCOUNT', `there is no account ${payload.account}`);
  }
}

@Participant({ name: 'teller' })
class Teller extends PostgresParticipant<string> {
  protected async work(client: ClientBase, { payload }: Branch<string>): Promise<Vote> {
    await client.query('UPDATE accounts SET balance = balance - 1 WHERE name = $1', [payload]);
    return 'commit';
  }
}

class Nameless extends PostgresParticipant {
  protected work(): Promise<Vote> {
    return Promise.resolve('read-only');
  }
}

describe('a PostgreSQL participant', () => {
  it('is found, and prepares under the name that it is registered under', async () => {
    const banks = await startBanks({
      left: { connection: database.url },
      right: { connection: database.url },
    });
    const outcome = await banks.transactions.run({
      branches: [
        branch(LeftBank, { account: 'ann', amount: -10 }),
        branch(RightBank, { account: 'bob', amount: 10 }),
      ],
    });

    expect(outcome).toMatchObject({ status: 'committed' });
    const { rows } = await database.query<{ gid: string }>('SELECT gid FROM dtc_branches ORDER BY gid');
    const { transactionId } = outcome;
    expect(rows.map(({ gid }) => gid)).toEqual([
      `${transactionId}/left/left`,
      `${transactionId}/right/right`,
    ]);
    await banks.application.close();
  });

  it('is told that a branch of its own transaction holds the row, also when another participant has it', async () => {
    const banks = await startBanks({
      left: { connection: database.url },
      right: { connection: database.url },
    });
    const outcome = await banks.transactions.run({
      branches: [
        branch(LeftBank, { account: 'ann', amount: -10 }),
        branch(RightBank, { account: 'ann', amount: 10 }),
      ],
    });

    expect(outcome).toMatchObject({ status: 'aborted', cause: 'refused', code: 'LOCK_TIMEOUT' });
    expect(outcome).toHaveProperty(
      'reason',
      expect.stringMatching(
        /the branch "(left|right)" of the same transaction is prepared there and may hold what it waited for: let one branch do/,
      ),
    );
    await banks.application.close();
    await expect(balanceOf(database, 'ann')).resolves.toBe(100);
  });

  it('closes its connections when the application ends', async () => {
    const banks = await startBanks({
      left: { connection: database.url },
      right: { connection: database.url },
    });
    await banks.application.close();
    const { rowCount } = await server.query(
      'postgres',
      "SELECT FROM pg_stat_activity WHERE application_name LIKE 'dtc %'",
    );
    expect(rowCount).toBe(0);
  });

  it('commits in one phase when it is alone', async () => {
    const banks = await startBanks({
      left: { connection: database.url },
      right: { connection: database.url },
    });
    const run = (amount: number) =>
      banks.transactions.run({ branches: [branch(LeftBank, { account: 'ann', amount })] });

    await expect(run(-10)).resolves.toMatchObject({ status: 'committed' });
    await expect(run(-1_000)).resolves.toMatchObject({ status: 'aborted', code: 'NO_FUNDS' });
    await expect(balanceOf(database, 'ann')).resolves.toBe(90);
    await banks.application.close();
  });

  it('may give its work as a batch', async () => {
    const application = await Test.createTestingModule({
      imports: [CoordinatorModule.forRoot({ allowMemoryLog: true })],
      providers: [Ledger],
    }).compile();
    await application.init();
    const transactions = application.get(TransactionManager);
    const run = (...postings: Posting[]) =>
      transactions.run({ branches: postings.map((posting) => branch(Ledger, posting)) });

    await expect(run({ account: 'ann', amount: -10 }, { account: 'bob', amount: 10 })).resolves.toMatchObject(
      {
        status: 'committed',
      },
    );
    await expect(run({ account: 'ann', amount: -10 }, { account: 'eve', amount: 10 })).resolves.toMatchObject(
      {
        status: 'aborted',
        code: 'NO_ACCOUNT',
      },
    );
    await expect(run({ account: 'ann', amount: 5 })).resolves.toMatchObject({ status: 'committed' });
    await application.close();
    expect([await balanceOf(database, 'ann'), await balanceOf(database, 'bob')]).toEqual([95, 110]);
    await expect(database.prepared()).resolves.toEqual([]);
  });

  it.each<[string, () => Provider]>([
    ['useFactory', () => ({ provide: Teller, useFactory: () => new Teller({ connection: database.url }) })],
    [
      'useFactory under a token',
      () => ({ provide: 'TELLER', useFactory: async () => new Teller({ connection: database.url }) }),
    ],
    ['useValue', () => ({ provide: Teller, useValue: new Teller({ connection: database.url }) })],
  ])('may be made by %s, as a connection string needs it', async (_, provider) => {
    const application = await Test.createTestingModule({
      imports: [CoordinatorModule.forRoot({ allowMemoryLog: true })],
      providers: [provider()],
    }).compile();
    await application.init();
    const transactions = application.get(TransactionManager);

    const branches = [branch(Teller, 'ann'), branch('teller', 'bob')];
    await expect(transactions.run({ branches })).resolves.toMatchObject({ status: 'committed' });
    await application.close();
    expect([await balanceOf(database, 'ann'), await balanceOf(database, 'bob')]).toEqual([99, 99]);
    const { rows } = await database.query<{ gid: string }>('SELECT gid FROM dtc_branches');
    expect(rows.every(({ gid }) => gid.includes('/teller/'))).toBe(true);
  });

  it('may be registered by hand while the application runs', async () => {
    const application = await Test.createTestingModule({
      imports: [CoordinatorModule.forRoot({ allowMemoryLog: true })],
    }).compile();
    await application.init();
    const teller = new Teller({ connection: database.url });
    application.get(ParticipantRegistry).register(teller, { name: 'second-teller' });
    const transactions = application.get(TransactionManager);
    const run = () => transactions.run({ branches: [branch('second-teller', 'ann')] });

    await expect
      .poll(() =>
        run().then(
          ({ status }) => status,
          ({ code }: { code: string }) => code,
        ),
      )
      .toBe('committed');
    await application.close();
    await teller.onApplicationShutdown();
  });

  it('outside a Nest application has the given name, and reports a missing one', async () => {
    const named = new Nameless({ connection: database.url, name: 'named' });
    await expect(named.prepare(someBranch())).resolves.toBe('read-only');
    await named.onApplicationShutdown();

    const nameless = new Nameless({ connection: database.url });
    expect(() => nameless.prepare(someBranch())).toThrow(
      expect.objectContaining({ code: 'DTC_POSTGRES_NO_NAME' }),
    );
  });
});
