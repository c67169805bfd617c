import { describe, expect, it, vi } from 'vitest';
import { OwnAnswers } from './own-answers.js';

const SELF = { name: 'shop', logId: 'log', epoch: 7 };
const CALL = { coordinator: 'shop', logId: 'log', to: 7 };
const DRAIN = { kind: 'drain', by: 'alice', reason: 'a new version' } as const;

function member() {
  const drain = vi.fn<(order: unknown) => Promise<void>>(async () => {});
  const view = { draining: true };
  const answers = new OwnAnswers(
    {} as never,
    { drain } as never,
    { view: () => view } as never,
    { own: SELF } as never,
    {} as never,
  );
  return { answers, drain, view };
}

describe('What other members ask of this one', () => {
  it('is done when the call names this member, and answered in its name', async () => {
    const { answers, drain, view } = member();
    expect(await answers.answer({ ...CALL, request: DRAIN })).toEqual({
      coordinator: 'shop',
      logId: 'log',
      epoch: 7,
      answer: view,
    });
    expect(drain).toHaveBeenCalledExactlyOnceWith({ by: 'alice', reason: 'a new version' });
  });

  it('is a list that one answer can hold, with the rest on the next page', async () => {
    const entry = (cursor: number, size: number) => ({
      transaction: { name: 'ä'.repeat(size / 2) },
      cursor: String(cursor),
    });
    const listed = async (...entries: object[]): Promise<unknown> => {
      const own = { own: SELF, entries: () => ({ entries, hasMore: false }) };
      const answers = new OwnAnswers({} as never, {} as never, {} as never, own as never, {} as never);
      const request = { kind: 'list', filter: { order: 'oldest', limit: 1_000 } } as const;
      const { answer } = (await answers.answer({ ...CALL, request })) as {
        answer: { entries: { cursor: string }[]; hasMore: boolean };
      };
      return [answer.entries.map(({ cursor }) => cursor), answer.hasMore];
    };
    const megabyte = 1024 * 1024;
    expect(await listed(entry(3, megabyte), entry(2, megabyte))).toEqual([['3', '2'], false]);
    expect(await listed(...[4, 3, 2, 1].map((cursor) => entry(cursor, megabyte)))).toEqual([
      ['4', '3'],
      true,
    ]);
    expect(await listed(entry(2, 4 * megabyte), entry(1, 10))).toEqual([['2'], true]);
  });

  it.each([
    ['another coordinator', { coordinator: 'till' }],
    ['another log', { logId: 'copy' }],
    ['an earlier member with its address', { to: 6 }],
    ['a later member', { to: 8 }],
  ])('is refused, and not done, when the call is for %s', async (_, other) => {
    const { answers, drain } = member();
    await expect(answers.answer({ ...CALL, ...other, request: DRAIN })).rejects.toMatchObject({
      code: 'DTC_WRONG_MEMBER',
      message: expect.stringMatching(/Nothing was done\.$/) as string,
    });
    expect(drain).not.toHaveBeenCalled();
  });
});
