import type { QueryConfig, QueryResult } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { GroupBranch, MemberVote, Vote } from '../../src/coordinator/index.js';
import { gidOf } from '../../src/postgres/gid.js';
import { type Batch, PostgresResourceManager, type PostgresSettings } from '../../src/postgres/index.js';
import { balanceOf, endOf, openAccounts } from '../support/postgres/bank.js';
import { type TestBranch, again, someBranch, until } from '../support/postgres/branches.js';
import { PostgresServer, type TestDatabase } from '../support/postgres/server.js';

const ADD = "UPDATE accounts SET balance = balance + $2 WHERE name = $1";

let server: PostgresServer;
let database: TestDatabase;
let managers: PostgresResourceManager[];

beforeAll(async () => {
  server = await PostgresServer.start({ deadlock_timeout: '50ms' });
});

afterAll(() => server.stop());

beforeEach(async () => {
  managers = [];
  database = await server.createDatabase();
  await openAccounts(database, 'ann', 'bob');
});

afterEach(async () => {
  await Promise.all(managers.map((manager) => manager.close()));
});

async function manage(settings: PostgresSettings = {}, url = database.url): Promise<PostgresResourceManager> {
  const manager = new PostgresResourceManager('bank', {
    connection: url,
    workConnections: 1,
    grouped: true,
    ...settings,
  });
  managers.push(manager);
  await manager.start();
  return manager;
}

function work(statements: readonly QueryConfig[], vote: Batch['vote'] = () => 'commit'): () => Batch {
  return () => ({ statements, vote });
}

/** Puts money into an account. */
function add(account: string, amount: number): () => Batch {
  return work([{ text: ADD, values: [account, amount] }], ([result]) =>
    result?.rowCount === 1 ? 'commit' : { vote: 'abort', code: 'NO_ACCOUNT', reason: account },
  );
}

/** Work that only runs one statement. */
function does(text: string, ...values: unknown[]): () => Batch {
  return work([{ text, values }]);
}

/** A group, which the test prepares and ends as the coordinator would. */
class TestGroup {
  readonly branch: TestBranch<null>;
  private attempt = 0;

  constructor(
    private readonly manager: PostgresResourceManager,
    given: Partial<GroupBranch> & { readonly withinMs?: number } = {},
  ) {
    this.branch = someBranch({ payload: null, ...given });
  }

  get gid(): string {
    return gidOf(this.branch, 'bank');
  }

  run(...members: readonly (() => Batch)[]): Promise<readonly MemberVote[]> {
    const { transactionId, branchId, deadline, signal, run } = this.branch;
    const group = { transactionId, branchId, deadline, signal, run, attempt: ++this.attempt };
    return this.manager.runGroup(group, members);
  }

  discard(): Promise<void> {
    return this.manager.discardGroup({ ...this.branch, attempt: this.attempt });
  }

  prepare(): Promise<Vote> {
    return this.manager.prepareGroup(again(this.branch, 0))!;
  }

  async commit(): Promise<void> {
    expect(await this.prepare()).toBe('commit');
    await this.manager.commit(again(this.branch));
  }
}

async function balances(): Promise<(number | undefined)[]> {
  return [await balanceOf(database, 'ann'), await balanceOf(database, 'bob')];
}

describe('a group', () => {
  it('is one prepared transaction with one guard row, and is committed as a whole', async () => {
    const group = new TestGroup(await manage());
    await expect(group.run(add('ann', 10), add('bob', 20), add('ann', 1))).resolves.toEqual([
      'commit',
      'commit',
      'commit',
    ]);
    await expect(database.prepared()).resolves.toEqual([]);

    await expect(group.prepare()).resolves.toBe('commit');
    await expect(database.prepared()).resolves.toEqual([group.gid]);
    await expect(balances()).resolves.toEqual([100, 100]);

    await managers[0]!.commit(again(group.branch));
    await managers[0]!.commit(again(group.branch, 2));
    await expect(balances()).resolves.toEqual([111, 120]);
    const { rows } = await database.query('SELECT gid, state FROM dtc_branches');
    expect(rows).toEqual([{ gid: group.gid, state: 'committed' }]);
  });
});
