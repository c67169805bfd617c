import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { refuse } from '../coordinator/index.js';

/** The methods that can be made to fail. */
export const METHODS = ['prepare', 'commit', 'rollback'] as const;
export type Method = (typeof METHODS)[number];

/** The behaviour of a method instead of its work, or in addition to it. */
export const faultSchema = z
  .strictObject({
    method: z.enum(METHODS),
    fault: z
      .enum(['hang', 'throw', 'throw-after', 'slow', 'refuse'])
      .describe(
        'hang: it never answers. throw: it fails before it has done anything. throw-after: it does its work, and ' +
          'fails. slow: it does its work after a pause. refuse: it votes for abort; only prepare can do that.',
      ),
    times: z
      .number()
      .int()
      .min(1)
      .max(1_000_000)
      .optional()
      .describe('The number of calls; without it, until the fault is removed.'),
    forMs: z
      .number()
      .int()
      .min(1)
      .max(86_400_000)
      .optional()
      .describe('After this time the fault ends by itself; without it, until it is removed.'),
    delayMs: z.number().int().min(1).max(600_000).default(1_000).describe('The length of the pause of slow.'),
  })
  .refine(({ method, fault }) => fault !== 'refuse' || method === 'prepare', {
    path: ['fault'],
    message: 'only prepare can refuse: there is no refusal after a vote for commit',
  })
  .meta({ id: 'Fault', examples: [{ method: 'commit', fault: 'throw', times: 3 }] });

export type Fault = z.output<typeof faultSchema>;

/**
 * Does the work of a call under a fault.
 *
 * @param signal ends the pause of `slow` when the coordinator no longer waits for the call.
 */
export async function suffer<T>({ fault, delayMs }: Fault, work: () => T, signal: AbortSignal): Promise<T> {
  switch (fault) {
    case 'hang':
      return new Promise<never>(() => {});
    case 'throw':
      throw new Error('a demo fault: nothing was done');
    case 'throw-after':
      await work();
      throw new Error('a demo fault: the work was done nevertheless');
    case 'slow':
      await delay(delayMs, undefined, { signal });
      return work();
    case 'refuse':
      // The fault is one of prepare, whose answer is a vote.
      return refuse('DEMO_REFUSED', 'a demo fault: it was told to refuse') as T;
  }
}
