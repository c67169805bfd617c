import { parentPort } from 'node:worker_threads';
import { messageOf } from '../coordinator/gate/texts.ts';
import { LogFiles } from './log-files.ts';
import { LogWriter } from './log-writer.ts';
import {
  type Failure,
  type Found,
  LogFailure,
  type Request,
  type Response,
  type Rows,
  type Written,
} from './messages.ts';
import { openStored } from './stored-log.ts';

export type { Request, Response };

// The thread in which the log is read, written and flushed, so that the process that decides never waits for
// a disk.

/** The approximate size of one message of records, in bytes, when the log is read. */
const ROWS_BYTES = 4 * 1024 * 1024;

/** Collects records for messages that are neither many nor large. */
class RowsOut {
  private keys: string[] = [];
  private bodies: Buffer[] = [];
  private bytes = 0;

  readonly add = (key: string, body: Buffer): void => {
    this.keys.push(key);
    this.bodies.push(body);
    this.bytes += body.length;
    if (this.bytes >= ROWS_BYTES) this.send();
  };

  send(): void {
    const bodies = new Uint8Array(this.bytes);
    const lengths = Uint32Array.from(this.bodies, ({ length }) => length);
    let at = 0;
    for (const body of this.bodies) {
      bodies.set(body, at);
      at += body.length;
    }
    const rows: Rows = { keys: this.keys, lengths, bodies };
    post({ rows }, [bodies.buffer]);
    this.keys = [];
    this.bodies = [];
    this.bytes = 0;
  }
}

/** The one log of this thread. */
class LogThread {
  private writer: LogWriter | undefined;
  /** Why nothing more may be written or read: the state of the disk is unknown. */
  private broken: Failure | undefined;

  answer(request: Request): Found | Written | boolean | undefined {
    switch (request.type) {
      case 'open':
        return this.open(request.folder);
      case 'claim':
        return this.use((writer) => {
          writer.claim(request.claim);
          return undefined;
        });
      case 'write':
        return this.use((writer) => writer.write(request.batch));
      case 'holds':
        return this.use((writer) => writer.holds(request.key));
      case 'close':
        this.writer?.close();
        this.writer = undefined;
        return undefined;
    }
  }

  private open(folder: string): Found {
    const files = new LogFiles(folder);
    const rows = new RowsOut();
    const stored = openStored(files, rows.add);
    rows.send();
    this.writer = new LogWriter(files, stored);
    return { logId: stored.census?.logId, warning: stored.warning };
  }

  /** Any error except a lack of room is final: only a new start finds out the state of the disk. */
  private use<T>(work: (writer: LogWriter) => T): T {
    if (this.broken !== undefined) throw new LogFailure(this.broken);
    if (this.writer === undefined) throw new Error('the log is not open');
    try {
      return work(this.writer);
    } catch (error) {
      const failure = failureOf(error);
      if (failure.kind === 'full') throw error;
      this.broken = failureOf(this.writer.detachAfter(new LogFailure(failure)));
      throw new LogFailure(this.broken);
    }
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof LogFailure) return error.failure;
  return { kind: 'failed', problem: messageOf(error) };
}

function post(response: Response, transfer: ArrayBuffer[] = []): void {
  parentPort!.postMessage(response, transfer);
}

const thread = new LogThread();
parentPort!.on('message', (request: Request) => {
  const { id } = request;
  try {
    post({ id, result: thread.answer(request) });
  } catch (error) {
    post({ id, failure: failureOf(error) });
  }
  if (request.type === 'close') parentPort!.close();
});
