import { Pool } from 'pg';
import type { Contender } from '../framework/contender.js';
import { type Accounts, UPDATE } from './accounts.js';

const COMMITTED = { status: 'committed' } as const;
/** Connections to each database: more of them made no contender faster. */
export const CONNECTIONS = 8;

export type Pools = readonly [Pool, Pool, Pool];

export function poolsOf(urls: readonly string[]): Pools {
  return urls.map((connectionString) => new Pool({ connectionString, max: CONNECTIONS })) as unknown as Pools;
}

/**
 * Three plain transactions at the same time, statement by statement. If one fails, the others stay committed.
 */
export function plainOver(pools: Pools, draw: () => Accounts): Contender {
  return overEach('plain', pools, draw, async (pool, account) => {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      await client.query(UPDATE, [account]);
      await client.query('COMMIT');
    } finally {
      client.release();
    }
  });
}

/** The same with all statements of a transaction in one round trip: the fastest that the server can be. */
export function plainInOneTripOver(pools: Pools, draw: () => Accounts): Contender {
  return overEach('plain-one-trip', pools, draw, (pool, account) =>
    pool.query(`BEGIN; ${updateOf(account)}; COMMIT`),
  );
}

/** The update as text among other statements, without parameters. */
export function updateOf(account: number): string {
  return UPDATE.replace('$1', String(account));
}

function overEach(
  name: string,
  pools: Pools,
  draw: () => Accounts,
  transact: (pool: Pool, account: number) => Promise<unknown>,
): Contender {
  return {
    name,
    run: async () => {
      const accounts = draw();
      await Promise.all(pools.map((pool, index) => transact(pool, accounts[index]!)));
      return COMMITTED;
    },
    close: () => closeAll(pools),
  };
}

export async function closeAll(pools: Pools): Promise<void> {
  await Promise.all(pools.map((pool) => pool.end()));
}
