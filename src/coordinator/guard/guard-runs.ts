import { isInstanceOf } from '../gate/failure.js';
import { settled } from '../gate/settled.js';
import { type Vote, refuse } from '../participant/participant.js';
import { logPrefixOf } from '../protocol/index.js';
import type { GuardedRun } from './guard-call.js';
import { GuardRunError } from './guard-errors.js';
import type { GuardedStore } from './guarded-store.js';

/** The most runs that are kept in memory. */
const REMEMBERED = 64;

/** The latest run of one coordinator of this process. */
interface LatestRun {
  readonly epoch: number;
  readonly source: object;
}

/** A displaced entry. It can be asked as long as its coordinator keeps it alive. */
interface EarlierRun {
  readonly epoch: number;
  readonly source: WeakRef<object>;
}

/**
 * The runs of coordinators that a guard works for. The guard writes each run and its token to the store once,
 * and never drops it. If a second run has the same log id and epoch, its log is a copy or was restored from a
 * backup. It would reuse ids, and new work would look like a repeat.
 */
export class GuardRuns {
  /** The token by log id and epoch. If an entry was displaced, the store is asked again. */
  private readonly admitted = new Map<string, string>();
  /** The latest run of each coordinator of this process, by the prefix of its transaction ids. */
  private readonly latest = new Map<string, LatestRun>();
  /** The runs of further coordinators. The entries of coordinators that are gone are removed at intervals. */
  private readonly earlier = new Map<string, EarlierRun>();
  private sweepAt = REMEMBERED;

  constructor(private readonly store: GuardedStore) {}

  /**
   * Makes a call, unless the guard must not serve its run.
   *
   * @param run undefined for a branch that a program made itself, which needs no run.
   * @param refused makes the answer for a refused run. @default the error is thrown
   */
  serve<T>(run: GuardedRun | undefined, call: () => Promise<T>, refused?: (error: unknown) => T): Promise<T> {
    return run === undefined || this.isAdmitted(run) ? call() : this.admit(run).then(call, refused);
  }

  /** Whether a run may be served without asking the store. */
  private isAdmitted(run: GuardedRun): boolean {
    if (this.admitted.get(keyOf(run)) !== run.token) return false;
    this.serves(run);
    return true;
  }

  /** @throws GuardRunError when another run has the same log id and epoch; any error of the store. */
  private async admit(run: GuardedRun): Promise<void> {
    const key = keyOf(run);
    const existing = await this.store.insert(key, { state: 'run', token: run.token });
    if (existing !== undefined && (existing.state !== 'run' || existing.token !== run.token)) {
      throw new GuardRunError(run);
    }
    keep(this.admitted, key, run.token);
    this.serves(run);
  }

  /** Asks this run from now on which branches it may still call. A run of another process cannot be asked. */
  private serves(run: GuardedRun): void {
    const { source, epoch } = run;
    const prefix = logPrefixOf(run);
    const before = this.latest.get(prefix) ?? this.earlier.get(prefix);
    // A late call of an earlier run: the later run has taken over its transactions.
    if (before !== undefined && (before.source === source || before.epoch > epoch)) return;
    if (questionOf(source) === undefined) return;
    this.earlier.delete(prefix);
    const pushedOut = keep(this.latest, prefix, { epoch, source });
    if (pushedOut === undefined) return;
    const [oldest, { epoch: itsEpoch, source: itsSource }] = pushedOut;
    this.earlier.set(oldest, { epoch: itsEpoch, source: new WeakRef(itsSource) });
    if (this.earlier.size > this.sweepAt) this.sweep();
  }

  /** The cost of one sweep is shared by all runs until the next. */
  private sweep(): void {
    for (const [prefix, { source }] of this.earlier) {
      if (source.deref() === undefined) this.earlier.delete(prefix);
    }
    this.sweepAt = Math.max(REMEMBERED, 2 * this.earlier.size);
  }

  /** The number of coordinators that can be asked which branches they may still call. @internal */
  get askable(): number {
    return this.latest.size + this.earlier.size;
  }

  /** Whether a coordinator may still call the branch of this key, so that its record is needed. */
  isNeeded(key: string): boolean {
    const end = key.indexOf('/');
    const transactionId = end === -1 ? key : key.slice(0, end);
    for (const { source } of this.latest.values()) if (saysUnsettled(source, transactionId)) return true;
    for (const { source } of this.earlier.values()) {
      const run = source.deref();
      if (run !== undefined && saysUnsettled(run, transactionId)) return true;
    }
    return false;
  }
}

/**
 * @returns undefined for a run that cannot be asked. For a run that cannot be read, a function that throws
 * its error.
 */
function questionOf(run: object): ((transactionId: string) => unknown) | undefined {
  let isUnsettled: unknown;
  try {
    ({ isUnsettled } = run as Readonly<Record<string, unknown>>);
  } catch (error) {
    return () => {
      throw error;
    };
  }
  return typeof isUnsettled === 'function'
    ? (id) => Reflect.apply(isUnsettled, run, [id]) as unknown
    : undefined;
}

/** A run that throws or gives no clear answer may need the record. */
function saysUnsettled(run: object, transactionId: string): boolean {
  let answer: unknown;
  try {
    answer = questionOf(run)?.(transactionId);
  } catch {
    return true;
  }
  if (typeof answer === 'boolean') return answer;
  // A promise is not an answer, and its rejection must not end the process.
  void settled(() => answer);
  return answer !== undefined;
}

/**
 * @returns the answer to the prepare of a run that is not served. The guard did nothing for it, and nothing
 * must be undone: a branch of another run may have the same key.
 */
export function refusalOf(error: unknown): Vote {
  if (isInstanceOf(error, GuardRunError)) return refuse(error.code, error.message);
  throw error;
}

function keyOf({ logId, epoch }: GuardedRun): string {
  return `run/${logId}/${epoch}`;
}

/** Removes the oldest entry. @returns the removed entry. */
function keep<V>(map: Map<string, V>, key: string, value: V): [string, V] | undefined {
  map.delete(key);
  map.set(key, value);
  if (map.size <= REMEMBERED) return undefined;
  const [oldest] = map;
  if (oldest !== undefined) map.delete(oldest[0]);
  return oldest;
}
