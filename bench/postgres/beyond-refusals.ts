import type { Contender } from '../framework/contender.js';

/**
 * For transactions of which some are refused on purpose: after a refused one, another one is run in its
 * place.
 */
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
