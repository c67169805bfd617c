import type { CoordinatorRun, IsOwnRun } from '../coordinator/participant/participant.js';
import { isLaterRunOf } from '../coordinator/participant/run-lineage.js';
import { idPrefixOf, originOf } from '../coordinator/protocol/index.js';
import { transactionOf } from './gid.js';

/** A start of a log, as a database stores it. */
export interface KnownRun {
  readonly epoch: number;
  readonly token: string;
}

/**
 * The records of a database about one coordinator's name, for one participant. The lock on the name is held
 * during each call.
 */
export interface RunStore {
  /** @returns the start of the run's log with the highest epoch that was let in, if there was one. */
  latest(): Promise<KnownRun | undefined>;
  /**
   * @returns the global ids of the participant's branches that are prepared under the name, the oldest first.
   */
  prepared(): Promise<readonly string[]>;
  /** Keeps the run in place of the latest before it, unless a later one is kept. */
  register(): Promise<void>;
}

/**
 * Why a run is refused. `other-log`: branches are prepared under another log of the name. `copied-log`: the
 * log does not know of a start that has worked in the database, so it is a copy or an older state of it.
 */
export type RunConflict =
  | { readonly kind: 'other-log'; readonly branches: number; readonly oldest: string }
  | { readonly kind: 'copied-log'; readonly epoch: number; readonly gid?: string };

/** Distinguishes a run from every other, including a run of a copied log. */
export function keyOfRun(run: CoordinatorRun): string {
  return `${idPrefixOf(run)}${run.token}`;
}

/**
 * Accepts a run of a coordinator in a database, if its decision log is the one under which the name was used
 * there before, and neither a copy of it nor an older state. A run with another log would roll back prepared
 * branches whose decisions it does not have, and would reuse ids.
 *
 * @param isOwnRun asks the log of the run about another start. If it is left out, only the numbers of the
 * starts are compared.
 * @returns why the run is refused, or undefined when it is accepted.
 */
export async function letIn(
  run: CoordinatorRun,
  isOwnRun: IsOwnRun | undefined,
  store: RunStore,
): Promise<RunConflict | undefined> {
  // The branches come first: a member of a shared log may be let in and prepare one between the two reads.
  const listed = await store.prepared();
  const latest = await store.latest();
  const isIn = isSameRun(run, latest);
  if (latest !== undefined && !isIn && !(await isLaterRunOf(run, latest, isOwnRun))) {
    return { kind: 'copied-log', epoch: latest.epoch };
  }
  const prepared = listed.flatMap((gid) => {
    const origin = originOf(transactionOf(gid));
    return origin === undefined ? [] : [{ gid, logId: origin.logId, epoch: origin.epoch }];
  });
  const foreign = prepared.filter(({ logId }) => logId !== run.logId);
  if (foreign[0] !== undefined) {
    return { kind: 'other-log', branches: foreign.length, oldest: foreign[0].gid };
  }
  // Of a shared log later runs work here as well, and each was let in before it has prepared anything.
  const known = run.isShared === true && latest !== undefined ? Math.max(run.epoch, latest.epoch) : run.epoch;
  const isKnown = isIn || known > run.epoch;
  const later = prepared.find(({ epoch }) => epoch > known || (epoch === run.epoch && !isKnown));
  if (later !== undefined) return { kind: 'copied-log', epoch: later.epoch, gid: later.gid };
  if (isIn || known > run.epoch) return undefined;
  await store.register();
  return run.isShared === true ? checkAgain(run, isOwnRun, store) : undefined;
}

/** The lock on the name is shared, so a run of a copy of the log may have come in at the same moment. */
async function checkAgain(
  run: CoordinatorRun,
  isOwnRun: IsOwnRun | undefined,
  store: RunStore,
): Promise<RunConflict | undefined> {
  const latest = await store.latest();
  if (latest === undefined || isSameRun(run, latest)) return undefined;
  if (await isLaterRunOf(run, latest, isOwnRun)) return undefined;
  return { kind: 'copied-log', epoch: latest.epoch };
}

function isSameRun(run: KnownRun, other: KnownRun | undefined): boolean {
  return other?.epoch === run.epoch && other.token === run.token;
}
