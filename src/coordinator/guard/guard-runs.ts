import { isInstanceOf } from '../gate/failure.js';
import { settled } from '../gate/settled.js';
import { type Vote, refuse } from '../participant/participant.js';
import { logPrefixOf } from '../protocol/index.js';
import type { GuardedRun } from './guard-call.js';
import { GuardRunError } from './guard-errors.js';
import type { GuardedStore } from './guarded-store.js';

/** How many runs are held on to. */
const REMEMBERED = 64;

/** The latest run of one coordinator of this process. */
interface LatestRun {
  readonly epoch: number;
  readonly source: object;
}

/** One that has been pushed out. It can be asked as long as its coordinator is there, which holds it. */
interface EarlierRun {
  readonly epoch: number;
  readonly source: WeakRef<object>;
}

/**
 * The runs of coordinators that a guard works for. Each is written to the store with its token, once, and is never dropped. A run with
 * the log id and the epoch of another one works with a copy of the log, or one that was restored from a backup. It would give out ids
 * a second time, and new work would be taken for a repeat.
 */
export class GuardRuns {
  /** By log id and epoch, the token. The store is asked again for one that was pushed out. */
  private readonly admitted = new Map<string, string>();
  /** The latest run of each coordinator of this process, by what the ids of its transactions begin with. */
  private readonly latest = new Map<string, LatestRun>();
  /** Those of coordinators beyond so many. Entries of coordinators that are gone are swept out. */
  private readonly earlier = new Map<string, EarlierRun>();
  private sweepAt = REMEMBERED;

  constructor(private readonly store: GuardedStore) {}

  /**
   * Makes a call, unless the run it comes from is not to be served.
   *
   * @param run undefined for a branch that was made by hand, which need not have one.
   * @param refused what is answered instead. @default the error is thrown
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

  /** @throws GuardRunError when another run has had the log id and the epoch; what the store throws. */
  private async admit(run: GuardedRun): Promise<void> {
    const key = keyOf(run);
    const existing = await this.store.insert(key, { state: 'run', token: run.token });
    if (existing !== undefined && (existing.state !== 'run' || existing.token !== run.token)) {
      throw new GuardRunError(run);
    }
    keep(this.admitted, key, run.token);
    this.serves(run);
  }

  /** From now on the run is asked what it may still call. A run of another process cannot be. */
  private serves(run: GuardedRun): void {
    const { source, epoch } = run;
    const prefix = logPrefixOf(run);
    const before = this.latest.get(prefix) ?? this.earlier.get(prefix);
    // A late call of an earlier run: the later one has taken up what that has left behind.
    if (before !== undefined && (before.source === source || before.epoch > epoch)) return;
    if (questionOf(source) === undefined) return;
    this.earlier.delete(prefix);
    const pushedOut = keep(this.latest, prefix, { epoch, source });
    if (pushedOut === undefined) return;
    const [oldest, { epoch: itsEpoch, source: itsSource }] = pushedOut;
    this.earlier.set(oldest, { epoch: itsEpoch, source: new WeakRef(itsSource) });
    if (this.earlier.size > this.sweepAt) this.sweep();
  }

  /** What it costs is shared by as many runs as come until the next time. */
  private sweep(): void {
    for (const [prefix, { source }] of this.earlier) {
      if (source.deref() === undefined) this.earlier.delete(prefix);
    }
    this.sweepAt = Math.max(REMEMBERED, 2 * this.earlier.size);
  }

  /** How many coordinators can be asked what they may still call. @internal */
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

/** @returns undefined for a run that cannot be asked; for one that cannot be read, what throws as it does. */
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

/** A run that cannot say it, because it throws or answers with something else, may need the record. */
function saysUnsettled(run: object, transactionId: string): boolean {
  let answer: unknown;
  try {
    answer = questionOf(run)?.(transactionId);
  } catch {
    return true;
  }
  if (typeof answer === 'boolean') return answer;
  // A promise is no answer, and its rejection must not end the process.
  void settled(() => answer);
  return answer !== undefined;
}

/**
 * @returns how the prepare of a run that is not served is answered. Nothing was done for it, and nothing is to be undone: a branch of
 * another run may have the same key.
 */
export function refusalOf(error: unknown): Vote {
  if (isInstanceOf(error, GuardRunError)) return refuse(error.code, error.message);
  throw error;
}

function keyOf({ logId, epoch }: GuardedRun): string {
  return `run/${logId}/${epoch}`;
}

/** Those that were kept longest ago go first. @returns the one that went. */
function keep<V>(map: Map<string, V>, key: string, value: V): [string, V] | undefined {
  map.delete(key);
  map.set(key, value);
  if (map.size <= REMEMBERED) return undefined;
  const [oldest] = map;
  if (oldest !== undefined) map.delete(oldest[0]);
  return oldest;
}
