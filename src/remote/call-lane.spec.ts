import { afterEach, describe, expect, it } from 'vitest';
import { idOf, runOf } from '../../test/support/identity.js';
import { CallLane } from './call-lane.js';
import { HostContact } from './host-contact.js';
import type { WireRun } from './wire/index.js';

const run: WireRun = { ...runOf() };
/** The calls in each message that has left, and how to answer all of them. */
const messages: { readonly calls: number; readonly answerAll: () => void }[] = [];
afterEach(() => void messages.splice(0));

function laneTo(participant = 'stock'): CallLane {
  const transport = {
    address: 'http://stock',
    send: (text: string, receive: (answer: unknown) => void): Promise<void> =>
      new Promise((resolve) => {
        const { length } = (JSON.parse(text) as { readonly calls: readonly unknown[] }).calls;
        const answerAll = (): void => {
          for (let id = 0; id < length; id++) receive({ id, kind: 'done' });
          resolve();
        };
        messages.push({ calls: length, answerAll });
      }),
    close: () => {},
  };
  const host = new HostContact(transport);
  return new CallLane(participant, () => host, { maxInFlight: 64, maxQueued: 64 }, 'completion');
}

const commit = (lane: CallLane, sequence: number): Promise<unknown> =>
  lane.call(
    run,
    {
      method: 'commit',
      transactionId: idOf('shop', 1, sequence),
      branchId: 'stock',
      attempt: 1,
      payloadText: undefined,
      traceparent: undefined,
    },
    performance.now() + 10_000,
  );
const tick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('The calls to a participant', () => {
  it('leave before the event loop turns while no answer is awaited, those made at once in one message', async () => {
    const lane = laneTo();
    const calls = [commit(lane, 1), commit(lane, 2)];
    await tick();
    expect(messages.map(({ calls: count }) => count)).toEqual([2]);
    messages[0]!.answerAll();
    await Promise.all(calls);
  });

  it('share a message with all calls of their turn while answers are awaited', async () => {
    const lane = laneTo();
    const calls = [commit(lane, 1)];
    await tick();
    calls.push(commit(lane, 2));
    await tick();
    calls.push(commit(lane, 3));
    await tick();
    expect(messages).toHaveLength(1);
    await turn();
    expect(messages.map(({ calls: count }) => count)).toEqual([1, 2]);
    for (const { answerAll } of messages) answerAll();
    await Promise.all(calls);
  });
});
