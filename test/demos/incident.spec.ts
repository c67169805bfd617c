import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHROMIUM_PATH } from '../dashboard/support/browser.js';

const ROOT = resolve(import.meta.dirname, '../..');
const MINUTE_MS = 60_000;

/** Plays the incident as `npm run demo:incident -- --short` does. */
describe.skipIf(process.platform === 'win32')('the incident at three in the morning', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'incident-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /**
   * @param mark is in the environment of all processes that it starts, which npm puts into a group of their
   * own.
   */
  function play(mark: string): { child: ChildProcess; output: () => string } {
    const args = ['run', '--silent', 'demo:incident', '--', '--short', `--pictures=${folder}`];
    const child = spawn('npm', args, {
      cwd: ROOT,
      env: { ...process.env, INCIDENT_MARK: mark },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part: string) => (text += part));
    return { child, output: () => text };
  }

  it(
    'ends well, and tells how',
    async () => {
      const { child, output } = play(randomUUID());
      const [code] = (await once(child, 'close')) as [number | null];

      expect(output()).toMatch(
        /The first order is stalled[^]*coordinator-2 is gone[^]*has adopted its orders/,
      );
      expect(output()).toMatch(/ROLLBACK PREPARED 'shop\.[^]*a heuristic outcome[^]*Everything ended well/);
      expect(code).toBe(0);
      const pictures = readdirSync(folder).toSorted();
      expect(pictures).toEqual(
        CHROMIUM_PATH === undefined
          ? []
          : ['after', 'heuristic', 'overview', 'stalled'].map((name) => `incident-${name}.png`),
      );
    },
    8 * MINUTE_MS,
  );

  it.runIf(process.platform === 'linux')(
    'leaves no process behind when Ctrl+C ends it',
    async () => {
      const mark = randomUUID();
      const { child, output } = play(mark);
      await expect.poll(output, { timeout: 3 * MINUTE_MS }).toContain('The first order is stalled');
      expect(processesWith(mark).length).toBeGreaterThan(3);

      // A terminal signals the whole group.
      process.kill(-child.pid!, 'SIGINT');
      await once(child, 'close');

      await expect.poll(() => processesWith(mark)).toEqual([]);
    },
    5 * MINUTE_MS,
  );
});

/** @returns the ids of the processes that have a mark in their environment. */
function processesWith(mark: string): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/environ`, 'utf8').includes(mark);
    } catch {
      // It has ended meanwhile, or belongs to another user.
      return false;
    }
  });
}
