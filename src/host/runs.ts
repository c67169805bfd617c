import type { CoordinatorRun } from '../coordinator/participant/participant.js';
import { type LowWaterMark, placeInLog } from '../coordinator/guard/index.js';
import type { WireRun } from '../remote/wire/index.js';

/** The most runs that are kept. */
const REMEMBERED = 64;

/** The runs of coordinators that call this host, and the low-water marks that they have announced here. */
export class RunsOfHost {
  private readonly known = new Map<string, CoordinatorRun>();
  private readonly marks = new Map<string, number>();
  /** The run of the latest message. */
  private latest: CoordinatorRun | undefined;

  /** @returns the run that participants receive: the same object for the same run. */
  of(wire: WireRun): CoordinatorRun {
    if (this.latest === undefined || !isSameRun(this.latest, wire)) this.latest = this.find(wire);
    return this.latest;
  }

  private find({ name, logId, epoch, token, durable }: WireRun): CoordinatorRun {
    const key = `${logId}/${epoch}/${token}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    // The replicas of this host work for the same run at the same time, each with sessions of its own.
    const run: CoordinatorRun = { name, logId, epoch, token, durable, isShared: true, isOfHost: true };
    Object.defineProperty(run, 'isUnsettled', { value: (id: string) => !this.isOver(id) });
    this.known.set(key, Object.freeze(run));
    const [oldest] = this.known.keys();
    if (this.known.size > REMEMBERED && oldest !== undefined) this.known.delete(oldest);
    return run;
  }

  /** @returns the latest run that has called, of the log of a transaction. */
  latestOf(transactionId: string): CoordinatorRun | undefined {
    const logId = placeInLog(transactionId)?.logId;
    let latest: CoordinatorRun | undefined;
    for (const run of this.known.values()) {
      if (run.logId === logId && run.epoch >= (latest?.epoch ?? 0)) latest = run;
    }
    return latest;
  }

  raise(logId: string, marks: readonly LowWaterMark[]): void {
    for (const { epoch, sequence } of marks) {
      const key = `${logId}/${epoch}`;
      this.marks.set(key, Math.max(this.marks.get(key) ?? 0, sequence));
    }
    // The mark of whole epochs says what the marks of each of them said.
    const over = this.marks.get(`${logId}/0`) ?? 0;
    for (const key of this.marks.keys()) {
      const [log, epoch] = key.split('/') as [string, string];
      if (log === logId && epoch !== '0' && Number(epoch) <= over) this.marks.delete(key);
    }
  }

  /** Whether a coordinator has said here that no call of the transaction comes any more. */
  private isOver(transactionId: string): boolean {
    const place = placeInLog(transactionId);
    if (place === undefined) return false;
    const { logId, epoch, sequence } = place;
    return (
      (this.marks.get(`${logId}/0`) ?? 0) >= epoch || (this.marks.get(`${logId}/${epoch}`) ?? 0) >= sequence
    );
  }
}

function isSameRun(one: CoordinatorRun, other: WireRun): boolean {
  return one.token === other.token && one.epoch === other.epoch && one.logId === other.logId;
}
