import fs from 'node:fs';
import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/** The most characters that wait to be written. Further lines are dropped. */
const MAX_WAITING = 4 * 1024 * 1024;

/** How long to wait before a busy file (EAGAIN) is tried again. */
const RETRY_MS = 50;

/** How often the end of the process checks whether everything is written. */
const LOOK_MS = 20;

/**
 * The destination of the application's log lines. The application never waits for them, and never ends
 * because of them: lines that a full disk, a pipe without a reader or a slow reader does not accept are
 * dropped, and counted. One write may hold many lines.
 */
export abstract class LogOutput {
  /** The number of dropped lines since the start. */
  dropped = 0;

  /** @returns the output to the standard output of the process. */
  static toStandardOutput(): LogOutput {
    const stat = fs.fstatSync(process.stdout.fd);
    // A write to a pipe that is not read would block a thread, and the end of the process with it. Node's own
    // stream does not wait for a pipe; but for a file it does.
    if (stat.isFIFO() || stat.isSocket()) return new StreamOutput(process.stdout);
    return new FileOutput(process.stdout.fd);
  }

  /** @param text one line, or several; it ends with a line break. */
  abstract write(text: string): void;

  /** The last chance of waiting lines, when the process ends: they are tried once. */
  abstract end(): void;

  /** The number of characters that wait to be written. */
  abstract get waiting(): number;

  /** @returns a promise that resolves when nothing waits any more, or the time is up. It never rejects. */
  async written(withinMs: number): Promise<void> {
    const end = performance.now() + withinMs;
    while (this.waiting > 0 && performance.now() < end) await delay(LOOK_MS);
  }

  protected drop(text: string | Buffer): void {
    this.dropped += linesIn(text);
  }

  protected hasRoom(): boolean {
    return this.waiting < MAX_WAITING;
  }
}

/** A pipe or a socket. Once its reader is gone, every line is dropped. */
export class StreamOutput extends LogOutput {
  private isClosed = false;

  constructor(private readonly stream: Writable) {
    super();
    stream.on('error', () => {
      this.isClosed = true;
    });
  }

  get waiting(): number {
    return this.isClosed ? 0 : this.stream.writableLength;
  }

  write(text: string): void {
    if (this.isClosed || !this.hasRoom()) {
      this.drop(text);
      return;
    }
    this.stream.write(text, (error) => {
      if (error) this.drop(text);
    });
  }

  end(): void {
    // The stream has tried each line at once, or waits for its reader.
  }
}

/** A file or a terminal: written by another thread, one piece after the other. */
export class FileOutput extends LogOutput {
  private queue: string[] = [];
  private queued = 0;
  private writing = 0;
  /** The last written line is cut off: the next one starts a new line. */
  private isTorn = false;

  /** @param io writes, for tests. @default the file system */
  constructor(
    private readonly fd: number,
    private readonly io: Pick<typeof fs, 'write' | 'writeSync'> = fs,
  ) {
    super();
  }

  get waiting(): number {
    return this.queued + this.writing;
  }

  write(text: string): void {
    if (!this.hasRoom()) {
      this.drop(text);
      return;
    }
    this.queue.push(text);
    this.queued += text.length;
    if (this.writing === 0) this.writeQueue();
  }

  end(): void {
    if (this.queued === 0) return;
    const text = this.takeQueue();
    try {
      this.io.writeSync(this.fd, text);
    } catch {
      this.drop(text);
    }
  }

  private takeQueue(): string {
    const text = (this.isTorn ? '\n' : '') + this.queue.join('');
    this.isTorn = false;
    this.queue = [];
    this.queued = 0;
    return text;
  }

  private writeQueue(): void {
    const text = Buffer.from(this.takeQueue());
    this.writing = text.length;
    this.writeRest(text, 0);
  }

  private writeRest(text: Buffer, from: number): void {
    this.io.write(this.fd, text, from, text.length - from, null, (error, count) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this.writeRest(text, from), RETRY_MS).unref();
        return;
      }
      if (error === null && from + count < text.length) {
        this.writeRest(text, from + count);
        return;
      }
      if (error !== null) {
        this.drop(text.subarray(from));
        this.isTorn = from > 0 && text[from - 1] !== LINE_BREAK;
      }
      this.writing = 0;
      if (this.queued > 0) this.writeQueue();
    });
  }
}

const LINE_BREAK = 0x0a;

function linesIn(text: string | Buffer): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines++;
  return lines;
}
