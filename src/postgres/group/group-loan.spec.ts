import type { PoolClient } from 'pg';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ConnectionPool } from '../connection/connection-pool.js';
import { isSpoiled, lockRequested } from '../connection/spoiled.js';
import { GroupLoan } from './group-loan.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

let sent: string[];
let answers: PromiseWithResolvers<unknown>[];
let client: PoolClient;
let isBack: boolean;
let pool: ConnectionPool;
let loan: GroupLoan;

beforeEach(async () => {
  sent = [];
  answers = [];
  isBack = false;
  client = {
    query: ({ text }: { text: string }) => {
      sent.push(text);
      const answer = Promise.withResolvers<unknown>();
      answers.push(answer);
      return answer.promise;
    },
  } as unknown as PoolClient;
  pool = {
    run: async (_signal: AbortSignal, task: (client: PoolClient) => Promise<void>) => {
      await task(client);
      isBack = true;
    },
  } as unknown as ConnectionPool;
  loan = new GroupLoan();
  await loan.take(pool);
});

describe('a loan that was given up', () => {
  it('sends nothing more, and says why', () => {
    loan.giveUp(new Error('aborted'));
    expect(() => loan.send(() => 'sent')).toThrow('aborted');
    expect(loan.isOver).toBe(true);
  });

  it('leaves the connection to its pool only when its rollback is answered and its calls have ended', async () => {
    const call = Promise.withResolvers<void>();
    const running = loan.during(() => call.promise);
    loan.giveUp(new Error('aborted'));
    expect(sent).toEqual([expect.stringMatching(/^ROLLBACK; .*advisory_unlock_all/)]);
    await turn();
    expect(isBack).toBe(false);
    answers[0]!.resolve({ command: 'ROLLBACK' });
    await turn();
    expect(isBack).toBe(false);
    call.resolve();
    await running;
    await turn();
    expect(isBack).toBe(true);
  });

  it('waits for the rollback when its calls have ended before', async () => {
    loan.giveUp(new Error('aborted'));
    await loan.during(() => Promise.resolve());
    await turn();
    expect(isBack).toBe(false);
    answers[0]!.resolve({ command: 'ROLLBACK' });
    await turn();
    expect(isBack).toBe(true);
  });

  it.each([
    ['keeps its session when the server has released its lock', undefined, false],
    ['spoils its session when the server may not have released its lock', new Error('no answer'), true],
  ])('%s', async (_what, error, isLeft) => {
    lockRequested(client);
    expect(isSpoiled(client)).toBe(true);
    loan.giveUp(new Error('aborted'));
    if (error === undefined) answers[0]!.resolve({ command: 'ROLLBACK' });
    else answers[0]!.reject(error);
    await turn();
    expect(isSpoiled(client)).toBe(isLeft);
  });
});

it('a loan that has ended well sends nothing more, and its session is free of its lock', async () => {
  lockRequested(client);
  loan.end();
  loan.giveUp(new Error('late'));
  expect(() => loan.send(() => 'sent')).toThrow('no connection any more');
  expect(sent).toEqual([]);
  await turn();
  expect(isBack).toBe(true);
  expect(isSpoiled(client)).toBe(false);
});
