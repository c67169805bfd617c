import type { CoordinatorRun, LogClaim } from '../../src/coordinator/index.js';

/** The id of the log of every coordinator in a test that does not care which it is. */
export const LOG_ID = 'log0of0tests';

/** The id of a log that such a coordinator has nothing to do with. */
export const OTHER_LOG_ID = 'another0log0';

/** A decision that the log makes. */
export const DECIDER = { kind: 'log' } as const;

/** @returns the token that the log gives out with an epoch. */
export function tokenOf(epoch: number): string {
  return `token-of-start-${epoch}`;
}

/**
 * @returns the answer of a log that holds nothing, with the given fields in place of its own.
 * @default a first start
 */
export function claimOf(given: Partial<LogClaim> = {}): LogClaim {
  const { epoch = 1 } = given;
  return {
    logId: LOG_ID,
    epoch,
    token: tokenOf(epoch),
    durable: true,
    decisions: [],
    reports: [],
    audits: [],
    ...given,
  };
}

/** @returns a run of the coordinator `shop`, with what is given in its place. @default its first one */
export function runOf(given: Partial<CoordinatorRun> = {}): CoordinatorRun {
  const { epoch = 1 } = given;
  return { name: 'shop', logId: LOG_ID, epoch, token: tokenOf(epoch), durable: true, ...given };
}

/** @returns the id that a coordinator gives a transaction. */
export function idOf(name: string, epoch: number, sequence: number, logId = LOG_ID): string {
  return `${name}.${logId}.${epoch.toString(36)}.${sequence}`;
}
