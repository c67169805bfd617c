import type { Caller } from '../../../dashboard/src/api/views.js';

export const OPERATOR_TOKEN = 'operators-token-of-alice';
export const READER_TOKEN = 'readers-token-of-rob';

export const TOKENS: Readonly<Record<string, Caller>> = {
  [OPERATOR_TOKEN]: { name: 'alice', role: 'operator' },
  [READER_TOKEN]: { name: 'rob', role: 'reader' },
};

/** An answer that says no. */
export class FakeProblem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
  ) {
    super(detail);
  }
}
