import type { CoordinatorRun } from '../../src/coordinator/index.js';
import { LOG_ID, runOf } from './identity.js';

let tokens = 0;

/** The identity of a durable log, which can be copied as a folder can. */
export class CopiableLog {
  private constructor(
    readonly logId: string,
    private readonly starts: Map<number, string>,
  ) {}

  static create(logId = LOG_ID): CopiableLog {
    return new CopiableLog(logId, new Map());
  }

  /** @returns a copy as it is now, with which another process may be started. */
  copy(): CopiableLog {
    return new CopiableLog(this.logId, new Map(this.starts));
  }

  /**
   * Starts it this number of times. Every start counts, however it ends.
   *
   * @returns the last run.
   */
  start(times = 1): CoordinatorRun {
    for (let start = 0; start < times; start++) {
      this.starts.set(this.starts.size + 1, `token ${++tokens} of ${this.logId}`);
    }
    const epoch = this.starts.size;
    return runOf({ logId: this.logId, epoch, token: this.starts.get(epoch)! });
  }

  readonly isOwnRun = (epoch: number, token: string): Promise<boolean> =>
    Promise.resolve(this.starts.get(epoch) === token);
}
