import { expect } from 'vitest';
import { MemoryReplicaGuardStore } from '../../../src/host/index.js';
import { Books, ledgerOf } from '../../remote/support/ledger.js';
import { ask, call, messageOf, nextId } from './conformance.js';
import type { Rig } from './rig.js';

/** So many that chance does not lead all of them to the replica that stays. */
const MESSAGES = 24;
/** All of them. */
export const ALL_YES = Array.from({ length: MESSAGES + 1 }, () => [{ id: 0, kind: 'vote', vote: 'commit' }]);

/**
 * One of two replicas at a broker stops, in the middle of a call.
 *
 * @returns the answers to the messages that come meanwhile, and then that to the call.
 */
export async function answersWhileOneStops(rig: Rig): Promise<unknown[]> {
  const guard = new MemoryReplicaGuardStore();
  const books = new Books();
  const ledgers = [ledgerOf('stock', books)];
  const start = () => rig.host(ledgers, { guard, shutdownGraceMs: 20_000 });
  const replicas = [await start(), await start()];
  const transport = rig.transport();
  const gate = Promise.withResolvers<undefined>();
  const first = nextId();
  books.scripts.prepare = ({ transactionId }) => (transactionId === first ? gate.promise : undefined);
  const running = ask(transport, messageOf([call('prepare', first)]), { timeLeftMs: 20_000 });
  await expect.poll(() => books.of('prepare')).toBe(1);
  // The one that is the quicker, where the first one takes a message.
  const stopping = replicas.find((replica) => replica.view?.().atWork === 1)!;
  const stopped = stopping.stop();
  await expect.poll(() => stopping.view?.().status, { interval: 1 }).toBe('stopping');
  const answers: unknown[] = [];
  for (let sent = 0; sent < MESSAGES; sent++) {
    answers.push(await ask(transport, messageOf([call('prepare', nextId())])));
  }
  // Its own call is answered, although it takes no other one.
  gate.resolve(undefined);
  answers.push(await running);
  await stopped;
  await transport.close();
  for (const replica of replicas) await replica.stop();
  return answers;
}
