import type { Contender } from '../framework/contender.js';

/** For transactions of which some are refused, as they must be: each of those is followed by another one. */
export function beyondRefusals(contender: Contender): Contender {
  return {
    ...contender,
    run: async () => {
      for (;;) {
        const outcome: { readonly status: string; readonly code?: string } = await contender.run();
        if (outcome.status !== 'aborted' || outcome.code !== 'NO_ACCOUNT') return outcome;
      }
    },
  };
}
