import fs from 'node:fs';
import { PassThrough, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { FileOutput, StreamOutput } from './log-output.js';

type Written = (error: NodeJS.ErrnoException | null, count: number) => void;

/** A file of limited size: it accepts what it has room for, and then reports that it is full. */
class Disk {
  text = '';
  writes = 0;

  constructor(public room = Infinity) {}

  readonly io = {
    write: (_fd: number, buffer: Buffer, from: number, length: number, _at: null, done: Written) => {
      this.writes++;
      setImmediate(() => {
        const count = Math.min(length, this.room);
        if (count === 0 && length > 0) {
          done(Object.assign(new Error('full'), { code: 'ENOSPC' }), 0);
          return;
        }
        this.take(buffer.subarray(from, from + count).toString());
        done(null, count);
      });
    },
    writeSync: (_fd: number, text: string) => {
      if (this.room === 0) throw new Error('full');
      this.take(text);
      return text.length;
    },
  } as unknown as Pick<typeof fs, 'write' | 'writeSync'>;

  private take(text: string): void {
    this.room -= text.length;
    this.text += text;
  }
}

const MEGABYTE = `${'x'.repeat(1024 * 1024 - 1)}\n`;

describe('A log output to a file', () => {
  it('writes every line, in order, many at once while a write is running', async () => {
    const disk = new Disk();
    const output = new FileOutput(1, disk.io);

    for (let line = 0; line < 100; line++) output.write(`${line}\n`);
    await output.written(5_000);

    expect(disk.text).toBe(Array.from({ length: 100 }, (_, line) => `${line}\n`).join(''));
    expect(disk.writes).toBe(2);
    expect(output.dropped).toBe(0);
  });

  it('drops and counts lines that a full disk does not accept, and continues when there is room', async () => {
    const disk = new Disk(0);
    const output = new FileOutput(1, disk.io);

    output.write('one\n');
    output.write('two\nthree\n');
    await output.written(5_000);
    expect(output.dropped).toBe(3);

    disk.room = Infinity;
    output.write('four\n');
    await output.written(5_000);
    expect(disk.text).toBe('four\n');
    expect(output.dropped).toBe(3);
  });

  it('appends no line to a part of another that the disk has cut off', async () => {
    const disk = new Disk(6);
    const output = new FileOutput(1, disk.io);

    output.write('one\ntwo\n');
    await output.written(5_000);
    expect(output.dropped).toBe(1);

    disk.room = Infinity;
    output.write('three\n');
    await output.written(5_000);
    expect(disk.text).toBe('one\ntw\nthree\n');
  });

  it('keeps at most 4 MiB for a hanging disk', () => {
    const io = { write: () => {} } as unknown as Pick<typeof fs, 'write' | 'writeSync'>;
    const output = new FileOutput(1, io);

    for (let times = 0; times < 10; times++) output.write(MEGABYTE);

    expect(output.waiting).toBe(4 * 1024 * 1024);
    expect(output.dropped).toBe(6);
  });

  it('tries a busy file again', async () => {
    let isBusy = true;
    const disk = new Disk();
    const io = {
      ...disk.io,
      write: (...args: Parameters<typeof fs.write>) => {
        const [, , , , , done] = args as unknown as [number, Buffer, number, number, null, Written];
        if (!isBusy) {
          (disk.io.write as (...all: unknown[]) => void)(...args);
          return;
        }
        isBusy = false;
        setImmediate(() => done(Object.assign(new Error('busy'), { code: 'EAGAIN' }), 0));
      },
    } as unknown as Pick<typeof fs, 'write' | 'writeSync'>;
    const output = new FileOutput(1, io);

    output.write('one\n');
    await output.written(5_000);

    expect(disk.text).toBe('one\n');
    expect(output.dropped).toBe(0);
  });

  it.each([
    ['writes', Infinity, 'one\ntwo\n', 0],
    ['drops, when it is full,', 4, 'one\n', 1],
  ])('%s waiting lines when the process ends', (_, room, text, dropped) => {
    const disk = new Disk(room);
    const output = new FileOutput(1, {
      ...disk.io,
      write: ((_fd: number, buffer: Buffer) => {
        disk.io.writeSync(1, buffer.toString());
      }) as unknown as typeof fs.write,
    });

    output.write('one\n');
    output.write('two\n');
    output.end();

    expect(disk.text).toBe(text);
    expect(output.dropped).toBe(dropped);
  });

  it.runIf(fs.existsSync('/dev/full'))('never throws, whatever error the file system gives', async () => {
    const full = fs.openSync('/dev/full', 'w');
    const output = new FileOutput(full);
    for (let times = 0; times < 10; times++) output.write('a line\n');
    await output.written(5_000);
    output.write('a line\n');
    output.write('a line\n');
    output.end();
    await output.written(5_000);
    fs.closeSync(full);

    expect(output.dropped).toBe(12);
  });
});

describe('A log output to a pipe', () => {
  it('passes on every line', async () => {
    const pipe = new PassThrough();
    const output = new StreamOutput(pipe);

    output.write('one\n');
    output.write('two\n');

    expect(String(await pipe.read())).toBe('one\ntwo\n');
  });

  it('keeps at most 4 MiB for a reader that does not read, and waits only for the given time', async () => {
    const output = new StreamOutput(new Writable({ write: () => {} }));

    for (let times = 0; times < 10; times++) output.write(MEGABYTE);
    await output.written(1);

    expect(output.waiting).toBe(4 * 1024 * 1024);
    expect(output.dropped).toBe(6);
  });

  it('drops and counts every line once its reader is gone', async () => {
    const broken = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error('gone'), { code: 'EPIPE' })),
    });
    const output = new StreamOutput(broken);

    output.write('one\ntwo\n');
    await output.written(5_000);
    output.write('three\n');
    await output.written(5_000);

    expect(output.dropped).toBe(3);
    expect(output.waiting).toBe(0);
  });
});
