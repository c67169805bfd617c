import type { ClientBase, PoolClient } from 'pg';
import { PostgresBranchError } from './errors.js';

/** The client that the work of one branch gets, and the end of its use. */
export interface BranchClient {
  readonly client: ClientBase;
  /** From now on every query of the work is refused, as it is when nobody waits for the branch any more. */
  readonly close: () => void;
}

/**
 * Hands out a connection for as long as its transaction lasts. Work that goes on after its vote, because it forgot to
 * await something, would else reach the next transaction of the connection, or none, and be committed by itself.
 */
export function lend(client: PoolClient, signal: AbortSignal): BranchClient {
  let isOver = false;
  const query = (...args: Parameters<PoolClient['query']>): unknown => {
    if (isOver || signal.aborted) return Promise.reject(workOver());
    return client.query(...args);
  };
  const methods = new Map<unknown, unknown>();
  return {
    client: new Proxy(client, {
      get: (target, property) => {
        if (property === 'query') return query;
        if (property === 'release' || property === 'end') return leaveIt;
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== 'function') return value;
        if (!methods.has(property)) methods.set(property, value.bind(target));
        return methods.get(property);
      },
    }),
    close: () => {
      isOver = true;
    },
  };
}

/** Libraries release what they work with; this connection is released when its transaction is over. */
function leaveIt(): Promise<void> {
  return Promise.resolve();
}

function workOver(): PostgresBranchError {
  return new PostgresBranchError(
    'DTC_POSTGRES_WORK_OVER',
    'The work of this branch is over, and its client can be used no more: await every query before the vote.',
  );
}
