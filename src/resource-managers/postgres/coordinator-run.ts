/** A run of a coordinator, from its start to its end. @publicApi */
export interface CoordinatorRun {
  /** The name of the coordinator. */
  readonly name: string;
  /** The number of its claim on its decision log. */
  readonly epoch: number;
  /** Whether its log outlives it, so that it takes what nobody has decided for its orphans. Left out: not known. */
  readonly durable?: boolean | undefined;
}

const EPOCH = /^[0-9a-z]{1,11}$/;

/**
 * So many starts of one coordinator go by at most between two that its participants see, and so few quarters of a
 * microsecond lie between the first claims of two logs.
 */
const STARTS_OF_ONE_LOG = 10_000;

/**
 * Whether two runs of a coordinator may have had the same decision log. A log counts its claims up, beginning with the
 * moment of its first one in quarters of a microsecond: so the epochs of one log lie close together, and those of two as
 * far apart as the moments at which they were made.
 */
export function haveOneLog(one: number, other: number): boolean {
  return Math.abs(one - other) < STARTS_OF_ONE_LOG;
}

/** @returns the epoch of the last start that may have been of the same log. */
export function lastOfLog(epoch: number): number {
  return epoch + STARTS_OF_ONE_LOG - 1;
}

/** @returns what the ids of a run's transactions begin with. */
export function prefixOf({ name, epoch }: CoordinatorRun): string {
  return `${name}.${epoch.toString(36)}.`;
}

/** @returns the run that made a transaction id, or undefined when no coordinator has made it. */
export function runOf(transactionId: string): CoordinatorRun | undefined {
  const [name, digits, sequence, ...more] = transactionId.split('.');
  if (!name || digits === undefined || sequence === undefined || more.length > 0) return undefined;
  if (!EPOCH.test(digits)) return undefined;
  const epoch = Number.parseInt(digits, 36);
  return epoch.toString(36) === digits ? { name, epoch } : undefined;
}
