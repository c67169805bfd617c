import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
// Only the types, so that every build with this file includes the thread's file as well.
import { messageOf } from '../coordinator/gate/texts.js';
import { within } from '../coordinator/within.js';
import type { Request, Response } from './log-worker.js';
import { type Failure, LogFailure, type Rows } from './messages.js';

/** Beside this file, and built like this one or not. */
const ENTRY = new URL(`./log-worker${extname(fileURLToPath(import.meta.url))}`, import.meta.url);

/**
 * The stack of the thread, in MiB: half of the main thread's. The thread tries to read a record before it
 * writes it. A record that it can read, the main thread can read at the next start, at any depth of its
 * stack.
 */
const STACK_MB = 0.5;

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;
type Result = Extract<Response, { result: unknown }>['result'];

/** The thread of a log, seen from the thread that decides. */
export class LogWorker {
  private readonly worker: Worker;
  private readonly pending = new Map<number, PromiseWithResolvers<Result>>();
  private readonly ended = Promise.withResolvers<void>();
  private nextId = 1;
  /** Why the thread has ended. */
  private end: Failure | undefined;

  /**
   * @param onRows receives the records that the thread reads when it opens the log, before `open` is
   * answered.
   */
  constructor(private readonly onRows: (rows: Rows) => void) {
    this.worker = new Worker(ENTRY, {
      name: 'decision-log',
      execArgv: [],
      resourceLimits: { stackSizeMb: STACK_MB },
    });
    this.worker.on('message', (response: Response) => this.answered(response));
    this.worker.on('error', (error: unknown) => {
      this.over(messageOf(error));
    });
    this.worker.on('exit', () => {
      this.over('its thread has ended');
      this.ended.resolve();
    });
    // An open log does not keep the process alive, but an unanswered request does.
    this.worker.unref();
  }

  /**
   * @returns a promise of the answer. It rejects with a LogFailure, or with the error of `postMessage`; then
   * the thread has received nothing.
   */
  request(message: WithoutId<Request>, transfer: ArrayBuffer[] = []): Promise<Result> {
    if (this.end !== undefined) return Promise.reject(new LogFailure(this.end));
    const id = this.nextId++;
    const answer = Promise.withResolvers<Result>();
    try {
      this.worker.postMessage({ ...message, id }, transfer);
    } catch (error) {
      answer.reject(error);
      return answer.promise;
    }
    if (this.pending.size === 0) this.worker.ref();
    this.pending.set(id, answer);
    return answer.promise;
  }

  /**
   * Closes the log and ends the thread.
   *
   * @param limitMs the time limit.
   * @returns whether the thread has ended. A thread that waits for a disk cannot be ended.
   * @throws LogFailure when the files could not be closed.
   */
  async close(limitMs: number): Promise<boolean> {
    const closed = this.request({ type: 'close' }).then(() => this.ended.promise);
    try {
      return await within(
        limitMs,
        closed.then(() => true),
        () => false,
      );
    } catch (error) {
      if (this.end === undefined) throw error;
      return true;
    } finally {
      this.worker.unref();
    }
  }

  private answered(response: Response): void {
    if ('rows' in response) {
      this.onRows(response.rows);
      return;
    }
    const answer = this.pending.get(response.id);
    this.pending.delete(response.id);
    if (this.pending.size === 0) this.worker.unref();
    if ('failure' in response) answer?.reject(new LogFailure(response.failure));
    else answer?.resolve(response.result);
  }

  private over(problem: string): void {
    this.end ??= { kind: 'failed', problem };
    const failure = new LogFailure(this.end);
    for (const { reject } of this.pending.values()) reject(failure);
    this.pending.clear();
  }
}
