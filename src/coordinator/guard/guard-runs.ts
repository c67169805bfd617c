import { type CoordinatorRun, type Vote, refuse } from '../participant/participant.js';
import { GuardRunError } from './guard-errors.js';
import type { GuardStore } from './guard-store.js';

/**
 * How many runs are remembered: of one that is not, the store is asked again, and what it may still call counts as needed.
 */
const REMEMBERED = 64;

/**
 * The runs of coordinators that a guard works for. Each is written to the store with its token, once, and is never dropped. A run with
 * the log id and the epoch of another one works with a copy of the log, or one that was restored from a backup. It would give out ids
 * a second time, and new work would be taken for a repeat.
 */
export class GuardRuns {
  /** By log id and epoch, the token. */
  private readonly admitted = new Map<string, string>();
  /** The latest run of each coordinator of this process, by what the ids of its transactions begin with. */
  private readonly latest = new Map<string, CoordinatorRun>();
  /** Whether there were more of them than are remembered. */
  private hasForgotten = false;

  constructor(private readonly store: GuardStore) {}

  /**
   * Makes a call, unless the run it comes from is not to be served.
   *
   * @param refused what is answered instead. @default the error is thrown
   */
  serve<T>(run: CoordinatorRun, call: () => Promise<T>, refused?: (error: unknown) => T): Promise<T> {
    return this.isAdmitted(run) ? call() : this.admit(run).then(call, refused);
  }

  /**
   * Whether a run may be served without asking the store. A branch that was made by hand need not have one.
   *
   * @param run what the branch says; it is not trusted to be what the type promises.
   */
  private isAdmitted(run: CoordinatorRun | undefined): boolean {
    if (!isRun(run)) return true;
    if (this.admitted.get(keyOf(run)) !== run.token) return false;
    this.serves(run);
    return true;
  }

  /** @throws GuardRunError when another run has had the log id and the epoch; what the store throws. */
  private async admit(run: CoordinatorRun): Promise<void> {
    const key = keyOf(run);
    const existing = await this.store.insert(key, { state: 'run', token: run.token });
    if (existing !== undefined && (existing.state !== 'run' || existing.token !== run.token)) {
      throw new GuardRunError(run);
    }
    keep(this.admitted, key, run.token);
    this.serves(run);
  }

  /** From now on the run is asked what it may still call. A run of another process cannot be. */
  private serves(run: CoordinatorRun): void {
    if (typeof run.isUnsettled !== 'function') return;
    const prefix = prefixOf(run);
    const before = this.latest.get(prefix);
    // A late call of an earlier run: the later one has taken up what that has left behind.
    if (before === run || (before !== undefined && before.epoch > run.epoch)) return;
    if (keep(this.latest, prefix, run)) this.hasForgotten = true;
  }

  /** Whether a coordinator may still call the branch of this key, so that its record is needed. */
  isNeeded(key: string): boolean {
    const end = key.indexOf('/');
    const transactionId = end === -1 ? key : key.slice(0, end);
    let isKnown = false;
    for (const [prefix, run] of this.latest) {
      if (run.isUnsettled?.(transactionId) === true) return true;
      isKnown ||= transactionId.startsWith(prefix);
    }
    return this.hasForgotten && !isKnown;
  }
}

/**
 * @returns how the prepare of a run that is not served is answered. Nothing was done for it, and nothing is to be undone: a branch of
 * another run may have the same key.
 */
export function refusalOf(error: unknown): Vote {
  if (error instanceof GuardRunError) return refuse(error.code, error.message);
  throw error;
}

function isRun(run: Partial<CoordinatorRun> | undefined): run is CoordinatorRun {
  return (
    typeof run === 'object' &&
    run !== null &&
    typeof run.logId === 'string' &&
    typeof run.token === 'string' &&
    Number.isSafeInteger(run.epoch)
  );
}

function keyOf({ logId, epoch }: CoordinatorRun): string {
  return `run/${logId}/${epoch}`;
}

/** What the id of each transaction begins with that a run of this log has begun. */
function prefixOf({ name, logId }: CoordinatorRun): string {
  return `${name}.${logId}.`;
}

/** Those that were kept longest ago go first. @returns whether one went. */
function keep<V>(map: Map<string, V>, key: string, value: V): boolean {
  map.delete(key);
  map.set(key, value);
  if (map.size <= REMEMBERED) return false;
  const [oldest] = map.keys();
  return oldest !== undefined && map.delete(oldest);
}
