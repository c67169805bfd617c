import { afterEach, beforeEach } from 'vitest';
import type { PostgresResourceManager, PostgresSettings, Work } from '../../../src/postgres/index.js';
import { TcpProxy } from '../tcp-proxy.js';
import { type PostgresBench, type PostgresBenchOptions, usePostgres } from './bench.js';

/** The set-up of tests whose connections are lost, or hang. */
export interface ProxiedBench extends PostgresBench {
  /** Between the resource managers of a test and the server. */
  readonly proxy: TcpProxy;
  /** Starts a resource manager whose connections go through the proxy. It is closed after the test. */
  manage(settings?: PostgresSettings): Promise<PostgresResourceManager>;
}

/** {@link usePostgres}, with a proxy before the server. */
export function useProxiedPostgres(options: PostgresBenchOptions = {}): ProxiedBench {
  let proxy: TcpProxy | undefined;
  // Before those of the bench, so that it is closed after the resource managers.
  beforeEach(async () => {
    proxy = await TcpProxy.open({ host: '127.0.0.1', port: bench.server.port });
  });
  afterEach(() => proxy?.close());
  const bench = usePostgres(options);

  return Object.defineProperties(bench, {
    proxy: { get: () => proxy! },
    manage: {
      value: async (settings: PostgresSettings = {}) => {
        const connection = bench.database.urlBy({ port: proxy!.port });
        const manager = bench.make({ connection, ...settings });
        await manager.start();
        return manager;
      },
    },
  }) as ProxiedBench;
}

/** Takes ten from the account `ann`. */
export const takeTen: Work<unknown> = async (client) => {
  await client.query("UPDATE accounts SET balance = balance - 10 WHERE name = 'ann'");
  return 'commit';
};

/** The global id of a branch that `someBranch` has made, at the resource manager `bank`. */
export function gidOf({ transactionId }: { readonly transactionId: string }): string {
  return `${transactionId}/bank/b`;
}
