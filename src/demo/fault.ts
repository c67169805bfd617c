import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';

/** The methods that can be made to fail. */
export const METHODS = ['prepare', 'commit', 'rollback'] as const;
export type Method = (typeof METHODS)[number];

/** The behaviour of a method instead of its work, or in addition to it. */
export const faultSchema = z
  .strictObject({
    method: z.enum(METHODS),
    fault: z
      .enum(['hang', 'throw', 'throw-after', 'slow'])
      .describe(
        'hang: it never answers. throw: it fails before it has done anything. throw-after: it does its work, and ' +
          'fails. slow: it does its work after a pause.',
      ),
    times: z
      .number()
      .int()
      .min(1)
      .max(1_000_000)
      .optional()
      .describe('The number of calls; without it, until the fault is removed.'),
    delayMs: z.number().int().min(1).max(600_000).default(1_000).describe('The length of the pause of slow.'),
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
  }
}
