import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CopiableLog } from '../../../test/support/copied-log.js';
import { isLaterRunOf } from './run-lineage.js';

const SEED = 20_261_128;

const later = (log: CopiableLog, latest: { readonly epoch: number; readonly token: string }, starts = 1) =>
  isLaterRunOf(log.start(starts), latest, log.isOwnRun);

describe('A run', () => {
  it('may follow the latest run of its log, however many starts lie between', async () => {
    const log = CopiableLog.create();
    const latest = log.start();

    for (const starts of [1, 2, 20_000]) expect(await later(log, latest, starts)).toBe(true);
  });

  it('may not follow itself, nor a later run', async () => {
    const log = CopiableLog.create();
    const [first, second] = [log.start(), log.start()];

    expect(await isLaterRunOf(first, second, log.isOwnRun)).toBe(false);
    expect(await isLaterRunOf(second, second, log.isOwnRun)).toBe(false);
  });

  it('of a shared log may come after a later run that its log knows, and never twice', async () => {
    const log = CopiableLog.create();
    const [first, second] = [log.start(), log.start()];
    const member = { ...first, isShared: true };

    expect(await isLaterRunOf(member, second, log.isOwnRun)).toBe(true);
    expect(await isLaterRunOf(member, second, undefined)).toBe(true);
    expect(await isLaterRunOf(member, first, log.isOwnRun)).toBe(false);
    expect(await isLaterRunOf(member, { ...second, token: 'of a copy' }, log.isOwnRun)).toBe(false);
  });

  it('of a copied log never follows a later run of the original, whichever was started more often', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(5),
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 5 }),
        async (before, since, tries) => {
          const log = CopiableLog.create();
          log.start(before);
          const copy = log.copy();
          const latest = log.start(since);
          for (const starts of tries) expect(await later(copy, latest, starts)).toBe(false);
          expect(await later(log, latest)).toBe(true);
        },
      ),
      { seed: SEED, numRuns: 200 },
    );
  });

  it('gets no answer while its log cannot be asked', async () => {
    const log = CopiableLog.create();
    const latest = log.start();
    const unasked = () => Promise.reject(new Error('no answer'));

    await expect(isLaterRunOf(log.start(), latest, unasked)).rejects.toThrow('no answer');
  });
});
