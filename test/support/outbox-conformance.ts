import { afterEach, describe, expect, it } from 'vitest';
import type { Branch, Vote } from '../../src/coordinator/index.js';
import type { NewMessage, OutboxMessage, OutboxStore } from '../../src/outbox/index.js';
import { type RelaySettings, resolveRelaySettings } from '../../src/outbox/options.js';
import { Relay, type SendMessage } from '../../src/outbox/relay.js';
import { again, someBranch, until } from './postgres/branches.js';

/** Takes part in transactions, as a participant `bank` does. */
export interface OutboxParticipant {
  commit(branch: Branch): Promise<void>;
  rollback(branch: Branch): Promise<void>;
}

/** The parts of a database that the tests use. */
export interface OutboxBench {
  /** Opens an outbox, as one process has it. It is closed after the test. */
  open(options?: { readonly statementTimeoutMs?: number }): Promise<OutboxStore>;
  /** Starts a participant, as one process has it. It is closed after the test. */
  participant(): Promise<OutboxParticipant>;
  /** Prepares a branch whose work writes messages. */
  prepare(
    store: OutboxStore,
    participant: OutboxParticipant,
    branch: Branch,
    messages: readonly NewMessage[],
    vote?: Vote,
  ): Promise<Vote>;
  /** Writes messages in a transaction of their own. */
  write(store: OutboxStore, messages: readonly NewMessage[]): Promise<void>;
  query<R>(sql: string): Promise<R[]>;
  /** Ends the server without giving it time for anything, and starts it again. */
  crash(): Promise<void>;
  /** An interval before now, in SQL. */
  ago(minutes: number): string;
}

/** The requirements for the outbox of every database, on a real server. */
export function outboxConformance(kind: string, bench: OutboxBench): void {
  const stops: (() => Promise<void>)[] = [];

  afterEach(async () => {
    await Promise.all(stops.splice(0).map((stop) => stop()));
  });

  /** Starts a relay that is stopped after the test. @returns the messages that it has sent. */
  function relay(
    store: OutboxStore,
    settings: RelaySettings = {},
    send: SendMessage = () => {},
  ): { readonly sent: OutboxMessage[]; readonly relay: Relay } {
    const sent: OutboxMessage[] = [];
    const sending: SendMessage = async (message, signal) => {
      await send(message, signal);
      sent.push(message);
    };
    const resolved = resolveRelaySettings({ pollIntervalMs: 10, retryMinMs: 5, retryMaxMs: 5, ...settings });
    const started = new Relay(store, sending, resolved, {
      trouble: () => {},
      dead: () => {},
      hanging: () => {},
      late: () => {},
    });
    started.start();
    stops.push(() => started.stop());
    return { sent, relay: started };
  }

  const about = (topic: string, key?: string): NewMessage => ({ topic, key, payload: { about: topic } });
  const topics = (messages: readonly OutboxMessage[]): string[] => messages.map(({ topic }) => topic);

  /** Takes nothing away. @returns the topics that a relay would find now. */
  async function dueIn(store: OutboxStore): Promise<string[]> {
    const claimed = await store.claim(1_000, 60_000);
    await store.record(
      claimed.map(({ position, attempt }) => ({ position, attempt, result: { kind: 'interrupted' } })),
    );
    return claimed.map(({ topic }) => topic).toSorted();
  }

  describe(`The outbox in ${kind}`, () => {
    it('sends the messages of a branch when it commits, and none before, nor after a rollback or a refusal', async () => {
      const [store, bank] = [await bench.open(), await bench.participant()];
      const [good, bad, refused] = [someBranch(), someBranch(), someBranch()];
      const payload = { text: "it's \\ „ü“ \u0000 \n", none: null, list: [1, 2.5] };
      expect(await bench.prepare(store, bank, good, [{ topic: 'good', payload }])).toBe('commit');
      expect(await bench.prepare(store, bank, bad, [about('bad', 'k')])).toBe('commit');
      const no = { kind: 'abort', code: 'NO', reason: 'no' } as unknown as Vote;
      await bench.prepare(store, bank, refused, [about('refused')], no).catch(() => {});
      expect(await dueIn(store)).toEqual([]);
      await bank.commit(again(good));
      await bank.rollback(again(bad));
      const { sent } = relay(store);
      await until('the message is sent', () => sent.length > 0);
      expect(await bench.query('SELECT topic, state FROM dtc_outbox')).toMatchObject([{ topic: 'good' }]);
      expect(sent).toEqual([
        {
          id: expect.stringMatching(/^[\da-f-]{36}$/) as string,
          topic: 'good',
          position: expect.any(Number) as number,
          transactionId: good.transactionId,
          writtenAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
          attempt: 1,
          payload,
        },
      ]);
      expect(Math.abs(Date.now() - Date.parse(sent[0]!.writtenAt))).toBeLessThan(60_000);
    });

    it('sends the messages of a branch that has prepared early and commits late, after later ones', async () => {
      const [store, bank] = [await bench.open(), await bench.participant()];
      const [early, late] = [someBranch(), someBranch()];
      await bench.prepare(store, bank, early, [about('early')]);
      await bench.prepare(store, bank, late, [about('late')]);
      const { sent } = relay(store);
      await bank.commit(again(late));
      await until('the later one is sent', () => sent.length === 1);
      await bank.commit(again(early));
      await until('both are sent', () => sent.length === 2);
      expect(topics(sent)).toEqual(['late', 'early']);
      expect(sent[0]!.position).toBeGreaterThan(sent[1]!.position);
    });

    it('sends it after recovery, where the server is killed between prepare and commit', async () => {
      const [store, bank] = [await bench.open(), await bench.participant()];
      const branch = someBranch();
      await bench.prepare(store, bank, branch, [about('paid', 'ann')]);
      const { sent, relay: started } = relay(store, { pollIntervalMs: 50 });
      await bench.crash();
      const successor = await bench.participant();
      expect(sent).toEqual([]);
      await until('it is committed', () =>
        successor.commit(again(branch)).then(
          () => true,
          () => false,
        ),
      );
      await until('it is sent', () => sent.length === 1);
      await until('it is kept', () => started.counts.sent === 1);
      expect(topics(sent)).toEqual(['paid']);
    });

    it('refuses a second branch with a key until the first is completed, so that order is kept', async () => {
      const [store, bank] = [await bench.open(), await bench.participant()];
      const [first, second, other] = [someBranch(), someBranch(), someBranch()];
      await bench.prepare(store, bank, first, [about('first', 'k')]);
      const vote = await bench.prepare(store, bank, someBranch(), [about('too early', 'k')]);
      expect(vote).toMatchObject({ code: 'LOCK_TIMEOUT' });
      expect(await bench.prepare(store, bank, other, [about('other', 'K '), about('free')])).toBe('commit');
      await bank.commit(again(first));
      expect(await bench.prepare(store, bank, second, [about('second', 'k')])).toBe('commit');
      await bank.commit(again(second));
      const { sent } = relay(store);
      await until('both are sent', () => sent.length === 2);
      expect(topics(sent)).toEqual(['first', 'second']);
    });

    it('sends a message of a key at once while a later branch with the key is prepared', async () => {
      const [store, bank] = [await bench.open(), await bench.participant()];
      const later = someBranch();
      await bench.write(store, [about('first', 'k'), about('second', 'k')]);
      await bench.prepare(store, bank, later, [about('later', 'k')]);
      const { sent } = relay(store);
      await until('what is committed is sent', () => sent.length === 2);
      expect(topics(sent)).toEqual(['first', 'second']);
      await bank.commit(again(later));
      await until('the later one is sent', () => sent.length === 3);
      expect(topics(sent)[2]).toBe('later');
    });

    it('is emptied by two relays that send each message once, and those of a key in order', async () => {
      const [store, other] = [await bench.open(), await bench.open()];
      const keys = ['a', 'b', undefined, undefined];
      await bench.write(
        store,
        Array.from({ length: 40 }, (_, index) => about(`m${index}`, keys[index % 4])),
      );
      const all: OutboxMessage[] = [];
      const send = (message: OutboxMessage): void => void all.push(message);
      const relays = [store, other].map((one) => relay(one, { batchSize: 7, maxInFlight: 10 }, send));
      await until('all are sent', () => all.length >= 40);
      await Promise.all(relays.map(({ relay }) => relay.stop()));
      expect(new Set(all.map(({ id }) => id)).size).toBe(40);
      expect(all).toHaveLength(40);
      for (const key of ['a', 'b']) {
        const positions = all.filter((message) => message.key === key).map(({ position }) => position);
        expect(positions).toEqual(positions.toSorted((one, two) => one - two));
      }
      expect(await bench.query("SELECT id FROM dtc_outbox WHERE state <> 'sent'")).toEqual([]);
    });

    it('keeps later messages of a key until the first is sent or dead, also between relays', async () => {
      const [store, other] = [await bench.open(), await bench.open()];
      await bench.write(store, [about('poison', 'k'), about('after', 'k'), about('free')]);
      const all: string[] = [];
      const send: SendMessage = ({ topic, attempt }) => {
        all.push(`${topic} ${attempt}`);
        if (topic === 'poison') throw new Error('cannot be read');
      };
      relay(store, { maxAttempts: 3 }, send);
      relay(other, { maxAttempts: 3 }, send);
      await until('all are tried', () => all.includes('after 1'));
      expect(all.filter((attempt) => attempt !== 'free 1')).toEqual([
        'poison 1',
        'poison 2',
        'poison 3',
        'after 1',
      ]);
      const dead = await store.listDead(10);
      expect(dead).toMatchObject([{ topic: 'poison', key: 'k', attempts: 3, error: 'cannot be read' }]);
    });

    it('sends dead messages again when it is told to, or deletes them', async () => {
      const store = await bench.open();
      await bench.write(
        store,
        ['a', 'b', 'c'].map((topic) => about(topic)),
      );
      const claimed = await store.claim(10, 60_000);
      await store.record(
        claimed.map(({ position, attempt }) => ({
          position,
          attempt,
          result: { kind: 'dead', error: 'why' },
        })),
      );
      expect(await store.count()).toMatchObject({ waiting: 0, dead: 3 });
      const ids = (await store.listDead(2)).map(({ id }) => id);
      expect(ids).toHaveLength(2);
      expect(await store.requeue([])).toBe(0);
      expect(await store.requeue([ids[0]!, 'unknown'])).toBe(1);
      expect(await store.discard([ids[0]!, ids[1]!])).toBe(1);
      expect(await store.count()).toMatchObject({ waiting: 1, dead: 1 });
      const { sent } = relay(store);
      await until('it is sent', () => sent.length === 1);
      expect(sent).toMatchObject([{ id: ids[0], attempt: 1 }]);
    });

    /** Makes every waiting message a dead one. */
    async function killAll(store: OutboxStore, error = 'why'): Promise<void> {
      for (;;) {
        const claimed = await store.claim(100, 60_000);
        if (claimed.length === 0) return;
        await store.record(
          claimed.map(({ position, attempt }) => ({ position, attempt, result: { kind: 'dead', error } })),
        );
      }
    }

    it('lists dead messages page by page, and shows the content of one', async () => {
      const store = await bench.open();
      await bench.write(
        store,
        ['a', 'b', 'c'].map((topic) => about(topic, topic === 'b' ? 'k' : undefined)),
      );
      await killAll(store);
      const first = await store.listDead(2);
      expect(topics(first as never)).toEqual(['a', 'b']);
      const [last, ...none] = await store.listDead(2, first[1]!.position);
      expect([last!.topic, none]).toEqual(['c', []]);
      expect(await store.findDead(first[1]!.id)).toEqual({ ...first[1], json: '{"about":"b"}' });
      expect(first[1]).toMatchObject({ key: 'k', attempts: 1, error: 'why' });
      await store.requeue([first[1]!.id]);
      expect([await store.findDead(first[1]!.id), await store.findDead('unknown')]).toEqual([
        undefined,
        undefined,
      ]);
    });

    it('sends dead messages of a key again behind all that were written meanwhile, and in their order', async () => {
      const store = await bench.open();
      await bench.write(store, [about('1', 'k'), about('2', 'k')]);
      await killAll(store);
      const dead = await store.listDead(10);
      await bench.write(store, [about('3', 'k')]);
      // The third is under way, so that none of its key may be.
      const [third] = await store.claim(10, 60_000);
      expect(third).toMatchObject({ topic: '3' });
      expect(await store.requeue(dead.map(({ id }) => id).toReversed())).toBe(2);
      expect(await store.claim(10, 60_000)).toEqual([]);
      expect(await store.count()).toMatchObject({ waiting: 3, dead: 0 });
      const { position, attempt } = third!;
      await store.record([{ position, attempt, result: { kind: 'interrupted' } }]);
      const { sent } = relay(store);
      await until('all are sent', () => sent.length === 3);
      expect(sent.map(({ topic, id }) => [topic, id])).toEqual([
        ['3', sent[0]!.id],
        ['1', dead[0]!.id],
        ['2', dead[1]!.id],
      ]);
      const positions = sent.map(({ position }) => position);
      expect(positions).toEqual(positions.toSorted((one, two) => one - two));
    });

    it('leaves a message dead while a branch holds its key, and keeps no other one back', async () => {
      const [store, bank] = [await bench.open(), await bench.participant()];
      const [holder, rolledBack] = [someBranch(), someBranch()];
      await bench.write(store, [about('held', 'k'), about('other', 'l'), about('free')]);
      await killAll(store);
      const ids = (await store.listDead(10)).map(({ id }) => id);
      await bench.prepare(store, bank, holder, [about('later', 'k')]);
      expect(await store.requeue(ids)).toBe(2);
      expect(await store.listDead(10)).toMatchObject([{ topic: 'held' }]);
      await bank.rollback(again(holder));
      await bench.prepare(store, bank, rolledBack, [about('never', 'k')]);
      await bank.rollback(again(rolledBack));
      expect(await store.requeue(ids)).toBe(1);
    });

    it('leaves it dead also where a statement may not take as long as the wait for a lock', async () => {
      const [store, bank] = [await bench.open({ statementTimeoutMs: 800 }), await bench.participant()];
      await bench.write(store, [about('held', 'k'), about('free')]);
      await killAll(store);
      const ids = (await store.listDead(10)).map(({ id }) => id);
      const holder = someBranch();
      await bench.prepare(store, bank, holder, [about('later', 'k')]);
      expect(await store.requeue(ids)).toBe(1);
      await bank.rollback(again(holder));
      expect(await store.requeue(ids)).toBe(1);
    });

    it.each([undefined, 'k'])(
      'takes no result from before for a message that is sent again (key %s)',
      async (key) => {
        const store = await bench.open();
        await bench.write(store, [about('one', key)]);
        const [before] = await store.claim(10, 60_000);
        const stale = { position: before!.position, attempt: before!.attempt };
        await store.record([{ ...stale, result: { kind: 'dead', error: 'why' } }]);
        await store.requeue([before!.id]);
        const [after] = await store.claim(10, 60_000);
        expect(after).toMatchObject({ id: before!.id, attempt: 1 });
        // As a relay that has stood still writes it, or one whose answer was lost.
        await store.record([{ ...stale, result: { kind: 'dead', error: 'late' } }]);
        await store.record([{ ...stale, result: { kind: 'failed', error: 'late', retryInMs: 1 } }]);
        expect([await store.count(), await store.claim(10, 60_000)]).toMatchObject([
          { waiting: 1, dead: 0 },
          [],
        ]);
      },
    );

    it.each([undefined, 'k'])('waits from the order on when it is sent again (key %s)', async (key) => {
      const store = await bench.open();
      await bench.write(store, [about('old', key)]);
      await bench.query(`UPDATE dtc_outbox SET written_at = ${bench.ago(60)}`);
      await killAll(store);
      const [dead] = await store.listDead(1);
      await store.requeue([dead!.id]);
      const { waiting, oldestMs } = await store.count();
      expect(waiting).toBe(1);
      expect(oldestMs).toBeLessThan(60_000);
      // When it was written is not changed.
      const [sent] = await store.claim(10, 60_000);
      expect(sent!.writtenAt).toBe(dead!.writtenAt);
    });

    it('keeps results with any text of an error', async () => {
      const store = await bench.open();
      await bench.write(store, [about('bad'), about('good')]);
      const { sent, relay: started } = relay(store, { maxAttempts: 1 }, ({ topic }) => {
        if (topic === 'bad') throw new Error('no \u0000 \ud800 „ü“ \n');
      });
      await until('both are over', () => started.counts.dead === 1 && started.counts.sent === 1);
      expect([topics(sent), (await store.listDead(1))[0]!.error]).toEqual([
        ['good'],
        'no \\u0000 \ufffd „ü“ \\u000a',
      ]);
    });

    it('gives out a message again when the lease of its relay is over, and takes no result of an earlier attempt but "sent"', async () => {
      const store = await bench.open();
      await bench.write(store, [about('one')]);
      const [first] = await store.claim(10, 20);
      expect(first).toMatchObject({ topic: 'one', attempt: 1 });
      let second = await store.claim(10, 60_000);
      await until(
        'the lease is over',
        async () => second.length > 0 || (second = await store.claim(10, 60_000)).length > 0,
      );
      expect(second).toMatchObject([{ id: first!.id, attempt: 2 }]);
      const { position } = first!;
      const stale = { position, attempt: 1 } as const;
      await store.record([{ ...stale, result: { kind: 'dead', error: 'late' } }]);
      await store.record([{ ...stale, result: { kind: 'failed', error: 'late', retryInMs: 1 } }]);
      expect([await store.count(), await store.claim(10, 1)]).toMatchObject([{ waiting: 1, dead: 0 }, []]);
      await store.record([{ ...stale, result: { kind: 'sent' } }]);
      await store.record([{ position, attempt: 2, result: { kind: 'failed', error: 'late', retryInMs: 1 } }]);
      expect(await store.count()).toEqual({ waiting: 0, oldestMs: 0, dead: 0 });
    });

    it('counts its messages and the age of the oldest', async () => {
      const store = await bench.open();
      await bench.write(store, [about('old'), about('new')]);
      await bench.query(`UPDATE dtc_outbox SET written_at = ${bench.ago(5)} WHERE topic = 'old'`);
      const { waiting, oldestMs, dead } = await store.count();
      expect([waiting, dead]).toEqual([2, 0]);
      expect(oldestMs).toBeGreaterThan(299_000);
      expect(oldestMs).toBeLessThan(360_000);
    });

    it('deletes messages that were sent long ago, and keys that no branch holds', async () => {
      const [store, bank] = [await bench.open(), await bench.participant()];
      await bench.write(
        store,
        ['old', 'new', 'waiting'].map((topic) => about(topic, topic)),
      );
      await bench.query(
        `UPDATE dtc_outbox SET state = 'sent', sent_at = ${bench.ago(90)} WHERE topic = 'old'`,
      );
      await bench.query(
        `UPDATE dtc_outbox SET state = 'sent', sent_at = ${bench.ago(30)} WHERE topic = 'new'`,
      );
      const holder = someBranch();
      await bench.query(`UPDATE dtc_outbox_keys SET used_at = ${bench.ago(90)} WHERE name <> 'new'`);
      await bench.prepare(store, bank, holder, [about('held', 'old')]);
      expect(await store.purge(3_600_000)).toBe(false);
      expect(await bench.query('SELECT topic FROM dtc_outbox ORDER BY position')).toMatchObject([
        { topic: 'new' },
        { topic: 'waiting' },
      ]);
      const names = async (): Promise<string[]> =>
        (await bench.query<{ name: string }>('SELECT name FROM dtc_outbox_keys ORDER BY name')).map(
          ({ name }) => name,
        );
      expect(await names()).toEqual(['new', 'old']);
      await bank.commit(again(holder));
      expect(await names()).toEqual(['new', 'old']);
    });

    it('refuses a message that cannot be sent, and the branch with it', async () => {
      const [store, bank] = [await bench.open(), await bench.participant()];
      const messages = [about('good', 'k'), { topic: '', payload: 1 }];
      const prepared = bench.prepare(store, bank, someBranch(), messages);
      await expect(prepared).rejects.toMatchObject({ code: 'DTC_OUTBOX_MESSAGE' });
      expect(await bench.query('SELECT id FROM dtc_outbox')).toEqual([]);
    });

    it('interrupts a receiver that hangs, and stops while one does', async () => {
      const store = await bench.open();
      await bench.write(store, [about('hanging'), about('good')]);
      const { sent, relay: started } = relay(
        store,
        { sendTimeoutMs: 50, shutdownGraceMs: 50 },
        ({ topic, attempt }, signal) =>
          topic === 'good' || attempt === 3
            ? undefined
            : new Promise((_resolve, reject) => {
                signal.addEventListener('abort', () => reject(signal.reason as Error));
              }),
      );
      await until('the good one is sent', () => topics(sent).includes('good'));
      await until('the other one too', () => topics(sent).includes('hanging'));
      expect(sent.find(({ topic }) => topic === 'hanging')).toMatchObject({ attempt: 3 });
      await started.stop();
      await bench.write(store, [about('endless')]);
      const { relay: second } = relay(store, { shutdownGraceMs: 50 }, () => new Promise(() => {}));
      await until('it hangs', () => second.counts.sending > 0);
      await second.stop();
      expect(await dueIn(store)).toEqual(['endless']);
    });
  });
}
