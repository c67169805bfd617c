import { type CoordinatorRun, originOf } from '../../coordinator/index.js';

/** What a transaction id says of the run that made it. */
export type RunOfId = Pick<CoordinatorRun, 'name' | 'logId' | 'epoch'>;

/** @returns what the ids of a run's transactions begin with. */
export function prefixOf({ name, logId, epoch }: RunOfId): string {
  return `${name}.${logId}.${epoch.toString(36)}.`;
}

/** @returns the run that made a transaction id, or undefined when no coordinator has made it. */
export function runOf(transactionId: string): RunOfId | undefined {
  return originOf(transactionId);
}
