import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type InquiryFacts, inquiryAnswer } from './inquiry-answer.js';

const facts = fc.record<InquiryFacts>({
  status: fc.constantFrom('committed', 'aborted', 'pending', 'elsewhere', 'unknown'),
  isForgotten: fc.boolean(),
  wasRecorded: fc.boolean(),
  mayPresume: fc.boolean(),
});

describe('The answer to a participant in doubt (fault 30)', () => {
  it('is commit where the commit is decided, and nowhere else', () => {
    fc.assert(
      fc.property(facts, (given) => {
        const isDecided = given.status === 'committed' || given.wasRecorded;
        expect(inquiryAnswer(given) === 'commit').toBe(isDecided);
      }),
      { seed: 20_261_129 },
    );
  });

  it('is abort only where abort is decided, or the log is this member’s and knows of no decision', () => {
    fc.assert(
      fc.property(facts, (given) => {
        if (inquiryAnswer(given) !== 'abort') return;
        expect(given.status === 'aborted' || (given.isForgotten && given.mayPresume)).toBe(true);
        expect(given.wasRecorded).toBe(false);
      }),
      { seed: 20_261_129 },
    );
  });

  it.each<[what: string, given: Partial<InquiryFacts>]>([
    ['is still voting', { status: 'pending' }],
    ['belongs to another member that lives', { status: 'elsewhere' }],
    ['is of another log', {}],
    ['is unknown, and the log is claimed by another process', { isForgotten: true }],
  ])('is wait where the transaction %s', (_what, given) => {
    expect(
      inquiryAnswer({
        status: 'unknown',
        isForgotten: false,
        wasRecorded: false,
        mayPresume: false,
        ...given,
      }),
    ).toBe('wait');
  });
});
