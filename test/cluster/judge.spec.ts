import { describe, expect, it } from 'vitest';
import type { Asked } from './callers.js';
import { judge } from './judge.js';
import type { Manner } from './messages.js';

const [NOWHERE, EVERYWHERE] = [
  [[], [], []],
  [['t1'], ['t1'], ['t1']],
];

function asked(answer: Asked['answer'], known: [string, 'committed' | 'aborted'][] = []): Asked {
  return askedFor('plain', answer, known);
}

function askedFor(
  manner: Manner,
  answer: Asked['answer'],
  known: [string, 'committed' | 'aborted'][] = [],
): Asked {
  const order: Asked['order'] = { key: 'order-1', manner, way: 'at once', item: 1, account: 1, quantity: 1 };
  return {
    order,
    of: 'member 1.1',
    ids: new Set(['t1']),
    answer,
    others: [],
    inquired: known.map(([id]) => id),
    known: new Map(known),
    lastKnown: '',
  };
}

function told(status: 'committed' | 'aborted' | 'pending' | 'heuristic', decision?: string): Asked['answer'] {
  return { told: { status, transactionId: 't1', ...(decision !== undefined && { decision }) } };
}

describe('the answers to the callers of a cluster, compared with the databases', () => {
  it.each([
    ['committed, and everywhere', asked(told('committed')), EVERYWHERE],
    ['aborted, and nowhere', asked(told('aborted')), NOWHERE],
    ['refused, and nowhere', asked({ refused: 'DTC_FENCED' }), NOWHERE],
    [
      'pending, and another member knows the commit',
      asked(told('pending'), [['t1', 'committed']]),
      EVERYWHERE,
    ],
    ['nothing, and another member knows the abort', asked({ nothing: true }, [['t1', 'aborted']]), NOWHERE],
    ['committed by its only participant', askedFor('one-phase', told('committed')), [[], ['t1'], []]],
    ['committed, and nothing was to be changed', askedFor('read-only', told('committed')), NOWHERE],
  ])('are right: %s', (_, one, ids) => {
    expect(judge(one, { ids })).toEqual([]);
  });

  it.each([
    ['is in some databases and not in all', asked(told('committed')), [['t1'], ['t1'], []]],
    ['is not done', asked(told('committed')), NOWHERE],
    ['is not done', asked(told('pending', 'commit'), [['t1', 'aborted']]), NOWHERE],
    ['is done', asked(told('aborted')), EVERYWHERE],
    ['is done by t1', asked({ refused: 'DTC_FENCED' }), EVERYWHERE],
    ['several transactions', asked(told('committed')), [['t1'], ['t1'], ['t2']]],
    ['against its decision', asked(told('heuristic')), EVERYWHERE],
    ['is aborted as a member says of t1', asked({ nothing: true }, [['t1', 'aborted']]), EVERYWHERE],
    ['is committed as a member says of t1', asked(told('pending'), [['t1', 'committed']]), NOWHERE],
    ['is not known at any member', { ...asked({ nothing: true }), inquired: ['t1'] }, EVERYWHERE],
    ['was never answered', asked(undefined), NOWHERE],
    ['is done by nothing', { ...asked(told('aborted')), others: [told('committed')!] }, NOWHERE],
    ['and before aborted', { ...asked(told('committed')), others: [told('aborted')!] }, EVERYWHERE],
    ['has changed something', askedFor('refused', { nothing: true }, [['t1', 'committed']]), EVERYWHERE],
  ])('are wrong: %s', (wrong, one, ids) => {
    expect(judge(one, { ids }).join()).toContain(wrong);
  });
});
