import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HAS_CURL, SET_UP, followPage, writeFilesOfPage } from '../docs/tutorial-page.js';
import { run } from './commands.js';
import { pack } from './pack.js';

const MINUTE_MS = 60_000;
/** Within this time a newcomer has a transaction that commits. */
const TEN_MINUTES_MS = 10 * MINUTE_MS;

/**
 * Each command of the tutorial, by the letter, with the library as it is published. Until it is, its tarball
 * stands for its name.
 */
describe.runIf(HAS_CURL)('a newcomer', () => {
  let workshop: string;
  let tarball: string;

  beforeAll(async () => {
    workshop = await mkdtemp(join(tmpdir(), 'newcomer-'));
    ({ tarball } = await pack(workshop));
  }, TEN_MINUTES_MS);

  afterAll(() => rm(workshop, { recursive: true, force: true }));

  it(
    'has a committed transaction within ten minutes, npm install included',
    async () => {
      const startedAt = performance.now();
      const commands = SET_UP.map((line) =>
        line.replace(/^npm install nestjs-dtc /, `npm install ${tarball} `),
      );
      expect(commands).not.toEqual(SET_UP);
      const script = `{ ${commands.join('\n')}\n} >&2; pwd`;
      const folder = (await run(workshop, TEN_MINUTES_MS, 'bash', '-euc', script)).trim();
      writeFilesOfPage(folder);

      const output = await followPage(folder);

      expect(output).toMatch(/Participant "north"[^]*Participant "south"/);
      const tookMs = performance.now() - startedAt;
      console.log(`From npm install to a committed transaction: ${Math.round(tookMs / 1_000)} s.`);
      expect(tookMs).toBeLessThan(TEN_MINUTES_MS);
    },
    TEN_MINUTES_MS + MINUTE_MS,
  );
});
