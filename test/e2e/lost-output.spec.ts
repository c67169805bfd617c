import { type ChildProcess, type StdioOptions, spawnSync } from 'node:child_process';
import { closeSync, constants, existsSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BuiltApplication } from '../support/built-application.js';
import { freePort } from '../../src/postgres-server/free-port.js';

/** More than any pipe holds by itself, in lines of the log. */
const REQUESTS = 1_500;
const AT_ONCE = 50;

describe('The process without a reader of its log lines', () => {
  let application: BuiltApplication;
  const opened: number[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'lost-output-'));

  beforeAll(() => {
    application = BuiltApplication.build('lost-output');
  });

  afterAll(() => {
    application.remove();
    for (const fd of opened) closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  function open(path: string, flags: number | string): number {
    const fd = openSync(path, flags);
    opened.push(fd);
    return fd;
  }

  /** A named pipe that is open for reading, and is not read. */
  function unreadPipe(): number {
    const path = join(folder, `pipe-${opened.length}`);
    expect(spawnSync('mkfifo', [path]).status).toBe(0);
    return open(path, constants.O_RDWR);
  }

  /** @returns once the process listens, where. */
  async function listens(port: string, child: ChildProcess): Promise<string> {
    const url = `http://127.0.0.1:${port}`;
    while (child.exitCode === null) {
      const isUp = await fetch(`${url}/health/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (isUp) return url;
    }
    throw new Error(`The process ended with code ${child.exitCode}.`);
  }

  async function order(url: string): Promise<number> {
    const response = await fetch(`${url}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ customerId: 'alice', items: [{ sku: 'keyboard', quantity: 1 }] }),
    });
    return response.status;
  }

  async function droppedLines(url: string): Promise<number> {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(/^dtc_lines_dropped_total (\d+)$/m.exec(text)?.[1]);
  }

  const full = (): number => open('/dev/full', 'w');
  /**
   * Why, what happens to the process, what it is given, and whether lines are dropped before a buffer is
   * full.
   */
  const cases: [string, (child: ChildProcess) => void, () => StdioOptions, boolean][] = [
    ['because the disk is full', () => {}, () => ['ignore', full(), 'pipe'], true],
    ['because the disk is full, that of errors too', () => {}, () => ['ignore', full(), full()], true],
    ['because the reader of its pipe is gone', (child) => child.stdout!.destroy(), () => 'pipe', true],
    ['because its pipe is not read', () => {}, () => ['ignore', unreadPipe(), 'pipe'], false],
    ['because its socket is not read', (child) => child.stdout!.pause(), () => 'pipe', false],
  ];

  it.runIf(existsSync('/dev/full')).each(cases)(
    '%s, serves on, and ends when it is told to',
    async (_, lose, stdio, drops) => {
      const port = String(await freePort());
      const { child, ended } = application.start({ PORT: port, LOG_LEVEL: 'trace' }, stdio());
      lose(child);
      const url = await listens(port, child);

      // Every request is a line.
      let sent = 0;
      const send = async (): Promise<void> => {
        while (sent++ < REQUESTS) expect((await fetch(`${url}/health/live`)).status).toBe(200);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, send));

      expect(await order(url)).toBe(201);
      expect((await droppedLines(url)) > 0).toBe(drops);
      child.kill('SIGTERM');
      expect(await ended).toEqual({ code: 0, stderr: '' });
    },
  );
});
