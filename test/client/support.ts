import { TransactionManager } from '../../src/client/index.js';
import { type TransactionClientOptions, resolveClientOptions } from '../../src/client/client.options.js';
import { CALLER, TestServer } from '../server/support.js';

/** @returns the manager of a caller, without a Nest application. */
export function clientOf(
  members: readonly (TestServer | string)[],
  options: Partial<TransactionClientOptions> = {},
): TransactionManager {
  return new TransactionManager(
    resolveClientOptions({
      members: members.map((member) => (typeof member === 'string' ? member : `${member.url}/dtc`)),
      token: CALLER.token,
      retryBaseMs: 1,
      retryCapMs: 20,
      ...options,
    }),
  );
}
