import { DBOS } from '@dbos-inc/dbos-sdk';
import type { Contender } from '../framework/contender.js';
import { type Accounts, UPDATE } from './accounts.js';
import { type Pools, closeAll } from './plain.js';

const COMMITTED = { status: 'committed' } as const;
const STEPS = ['first', 'second', 'third'] as const;
/** The connections that each other contender has to one database, and some more for DBOS itself. */
const SYSTEM_CONNECTIONS = 16;

/**
 * The same updates as three steps of a durable workflow, one after the other. Each step is committed by
 * itself, and then a checkpoint of the workflow: a crash in between repeats the update.
 */
export async function dbosOver(
  pools: Pools,
  draw: () => Accounts,
  systemDatabaseUrl: string,
): Promise<Contender> {
  // It queries a connection before its pool hands the connection out. pg warns of that once in each process.
  process.noDeprecation = true;
  DBOS.setConfig({
    name: 'benchmark',
    systemDatabaseUrl,
    systemDatabasePoolSize: SYSTEM_CONNECTIONS,
    logLevel: 'error',
  });
  const workflow = DBOS.registerWorkflow(
    async (accounts: Accounts): Promise<void> => {
      for (const [index, name] of STEPS.entries()) {
        await DBOS.runStep(
          async () => {
            await pools[index]!.query(UPDATE, [accounts[index]]);
          },
          { name },
        );
      }
    },
    { name: 'three-updates' },
  );
  await DBOS.launch();
  return {
    name: 'dbos',
    run: async () => {
      await workflow(draw());
      return COMMITTED;
    },
    close: async () => {
      await DBOS.shutdown();
      await closeAll(pools);
    },
  };
}
