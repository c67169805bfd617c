import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HandOperated, commands, newModel } from './model.js';
import { PROPERTY_RUNS } from '../support/property-runs.js';

const SEED = 20_260_805;

describe('The interactive API, step by step against a model', () => {
  it(`behaves as the model says (seed ${SEED}, ${PROPERTY_RUNS} runs)`, async () => {
    const ends = new Map<string, number>();
    const property = fc.asyncProperty(
      fc.commands(commands, { maxCommands: 40, size: 'max' }),
      async (steps) => {
        const model = newModel();
        await fc.asyncModelRun(() => ({ model, real: new HandOperated() }), steps);
        const end = `${model.state} ${model.told?.status ?? 'untold'}`;
        ends.set(end, (ends.get(end) ?? 0) + 1);
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: PROPERTY_RUNS });

    // The search is worth something only if it came by every end there is.
    expect([...ends.keys()].toSorted()).toEqual([
      'ABORTED aborted',
      'ABORTING aborted',
      'ACTIVE untold',
      'COMMITTED committed',
      'COMMITTED pending',
      'COMMITTING pending',
      'COMMITTING untold',
      'PREPARING untold',
    ]);
  }, 120_000);
});
