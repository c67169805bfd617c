import type { Socket } from 'node:net';
import { Logger } from '@nestjs/common';
import { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ConnectionPools, openPools } from '../../src/postgres/connection/connection-pools.js';
import { type PostgresPools, PostgresResourceManager } from '../../src/postgres/index.js';
import { postgresSettingsSchema } from '../../src/postgres/options.js';
import { openAccounts } from '../support/postgres/bank.js';
import { again, someBranch } from '../support/postgres/branches.js';
import { MESSAGES, ScriptedServer } from '../support/postgres/scripted-server.js';
import { PostgresServer } from '../support/postgres/server.js';

const SILENT = Object.assign(new Logger('PostgreSQL'), { warn() {}, debug() {} });
const SEED = 20_261;

/** What would have ended the process. */
let fatal: unknown[];
const note = (error: unknown): number => fatal.push(error);

beforeEach(() => {
  fatal = [];
  process.on('uncaughtExceptionMonitor', note);
});

afterEach(() => {
  process.off('uncaughtExceptionMonitor', note);
});

/** An uncaught error shows after all running callbacks have had their turn. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Numbers from 0 to 1, the same for the same seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function open(connection: string | PostgresPools): ConnectionPools {
  return openPools(connection, postgresSettingsSchema.parse({ connectTimeoutMs: 2_000 }), 'bank', SILENT);
}

function poolsOf(connectionString: string): PostgresPools {
  const config = { connectionString, connectionTimeoutMillis: 2_000 };
  return { work: new Pool(config), completion: new Pool(config) };
}

async function endPools(pools: PostgresPools): Promise<void> {
  await Promise.all([pools.work.end(), pools.completion.end()]);
}

const OPENING = Buffer.concat([
  MESSAGES.authenticationOk,
  MESSAGES.parameter,
  MESSAGES.keyData,
  MESSAGES.ready,
]);

describe.each(['its own pools', 'pools of the application'])(
  'a session that the server ends, with %s',
  (whose) => {
    /** Asks once for each way in which the server answers, and is refused each time. */
    async function ask(answers: readonly ((socket: Socket) => void)[]): Promise<unknown[]> {
      let next = 0;
      const server = await ScriptedServer.open((socket) => answers[next++ % answers.length]!(socket));
      const pools = poolsOf(server.url);
      const connections = open(whose === 'its own pools' ? server.url : pools);
      const results: unknown[] = [];
      for (let turn = 0; turn < answers.length; turn++) {
        const signal = AbortSignal.timeout(5_000);
        const { work, completion } = connections;
        results.push(
          await (turn % 2 === 0 ? work : completion)
            .run(signal, (client) => client.query('SELECT 1'))
            .catch((error: unknown) => error),
        );
        await settle();
      }
      await connections.close();
      await endPools(pools);
      await server.close();
      return results;
    }

    it.each([
      ['while it opens, in one piece with its last message', Buffer.concat([OPENING, MESSAGES.terminated])],
      ['while it opens, twice', Buffer.concat([OPENING, MESSAGES.terminated, MESSAGES.terminated])],
      ['before it is open, as there are too many', MESSAGES.tooManyClients],
      ['before it is open, as it starts', Buffer.concat([MESSAGES.authenticationOk, MESSAGES.startingUp])],
      ['with an answer to nothing', Buffer.concat([OPENING, MESSAGES.select, MESSAGES.terminated])],
      ['by what is no message', Buffer.concat([OPENING, Buffer.from('44000000060001', 'hex')])],
    ])('%s is an error of the task, and no more', async (_when, bytes) => {
      const results = await ask([
        (socket) => socket.end(bytes),
        (socket) => void socket.write(bytes, () => socket.destroy()),
      ]);

      for (const result of results) expect(result).toBeInstanceOf(Error);
      expect(fatal).toEqual([]);
    });

    it('at any byte of its opening, with a word or without, is an error of the task, and no more', async () => {
      const words = [Buffer.alloc(0), MESSAGES.terminated, Buffer.from('not a message at all')];
      const next = random(SEED);
      const answers = Array.from({ length: OPENING.length * 3 }, (_, index) => {
        const cut = OPENING.subarray(0, index % (OPENING.length + 1));
        const bytes = Buffer.concat([cut, words[Math.floor(index / OPENING.length)]!]);
        const at = Math.floor(next() * bytes.length);
        return (socket: Socket): void => {
          // In two pieces, of which the second may come with the end.
          socket.write(bytes.subarray(0, at));
          if (next() < 0.5) socket.end(bytes.subarray(at));
          else socket.write(bytes.subarray(at), () => socket.resetAndDestroy());
        };
      });

      const results = await ask(answers);

      expect(results.filter((result) => !(result instanceof Error))).toEqual([]);
      expect(fatal, `seed ${SEED}`).toEqual([]);
    });
  },
);

describe('sessions of a real server', () => {
  let server: PostgresServer;

  beforeAll(async () => {
    server = await PostgresServer.start({ max_connections: 20 });
  });

  afterAll(() => server.stop());

  it.each(['its own pools', 'pools of the application'])(
    'may be ended at any moment, by the dozen: branches fail, the process goes on: %s',
    async (whose) => {
      const database = await server.createDatabase();
      await openAccounts(database, 'ann');
      const pools = poolsOf(database.url);
      const settings = { workConnections: 6, completionConnections: 3, lockTimeoutMs: 50 };
      const manager = new PostgresResourceManager('bank', {
        ...(whose === 'its own pools' ? { connection: database.url } : { pools }),
        ...settings,
      });
      await manager.start();
      const end = performance.now() + 1_500;
      const failures: unknown[] = [];
      let done = 0;
      const work = async (): Promise<void> => {
        while (performance.now() < end) {
          const branch = someBranch({ withinMs: 500 });
          try {
            await manager.prepare(branch, async (client) => {
              await client.query("UPDATE accounts SET balance = balance WHERE name = 'ann'");
              return 'commit';
            });
            await manager.rollback(again(branch));
            done++;
          } catch (error) {
            failures.push(error);
          }
        }
      };
      const storm = async (): Promise<void> => {
        while (performance.now() < end) {
          await server.query(
            'postgres',
            'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND random() < 0.7',
            [database.name],
          );
        }
      };

      await Promise.all([...Array.from({ length: 12 }, work), storm(), storm()]);
      await manager.close();
      await endPools(pools);
      await settle();

      expect(done + failures.length).toBeGreaterThan(0);
      expect(failures.length).toBeGreaterThan(0);
      expect(fatal).toEqual([]);
    },
  );
});
