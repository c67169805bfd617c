import fs from 'node:fs';
import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/** How much may wait to be written, in characters: what comes on top of it is dropped. */
const MAX_WAITING = 4 * 1024 * 1024;

/** A file that cannot take anything now (EAGAIN) is asked again after so long. */
const RETRY_MS = 50;

/** How often the end of the process looks whether everything is written. */
const LOOK_MS = 20;

/**
 * Where the application's log lines go. The application never waits for them, and never ends for want of them: lines that a
 * full disk, a pipe without a reader or one that is read too slowly does not take are dropped, and counted. One write may
 * hold many lines.
 */
export abstract class LogOutput {
  /** How many lines were dropped since the start. */
  dropped = 0;

  /** @returns the output to what the process was given as its standard output. */
  static toStandardOutput(): LogOutput {
    const stat = fs.fstatSync(process.stdout.fd);
    // A write to a pipe that is not read would hold a thread, and the end of the process with it. Node's own stream does
    // not wait for a pipe; but for a file it does.
    if (stat.isFIFO() || stat.isSocket()) return new StreamOutput(process.stdout);
    return new FileOutput(process.stdout.fd);
  }

  /** @param text one line, or several; it ends with a line break. */
  abstract write(text: string): void;

  /** The last chance of what waits still, when the process ends: it is tried once. */
  abstract end(): void;

  /** How many characters wait to be written. */
  abstract get waiting(): number;

  /** @returns a promise that resolves when nothing waits any more, or the time is over. It is never a rejection. */
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

/** A file or a terminal: written by another thread, a piece after the other. */
export class FileOutput extends LogOutput {
  private queue: string[] = [];
  private queued = 0;
  private writing = 0;
  /** The last line that was written is cut off: the next one begins a line of its own. */
  private isTorn = false;

  /** @param io what writes, for tests. @default the file system */
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
