import { describe, expect, it } from 'vitest';
import { LEASE, append, idIn, recordOf } from './decision-log-fixtures.js';
import { SharedMemoryLog } from './shared-memory-log.js';
import { SharedMemoryStore, type SharedMemoryStoreOptions } from './shared-memory-store.js';

async function openOn(store: SharedMemoryStore) {
  const log = new SharedMemoryLog(store);
  const claim = await log.open('shop');
  return { log, claim, id: (sequence: number) => idIn(claim, sequence) };
}

async function opened(options: SharedMemoryStoreOptions = {}) {
  const store = new SharedMemoryStore(options);
  return { store, ...(await openOn(store)) };
}

describe('SharedMemoryLog', () => {
  it('leaves a write without an effect whose connection is lost before', async () => {
    const { log, id } = await opened();
    log.failNext('lost');
    await expect(append(log, id(1))).rejects.toThrow('connection');
    expect(await log.lookUp(id(1))).toBe('absent');
  });

  it('has recorded an append whose answer is lost', async () => {
    const { log, id } = await opened();
    log.failNext('unanswered');
    await expect(append(log, id(1))).rejects.toThrow('connection');
    expect(await log.lookUp(id(1))).toBe('recorded');
  });

  it('refuses a late append after a look-up has answered absent', async () => {
    const { log, id } = await opened();
    log.failNext('late', 'late');
    await expect(append(log, id(1))).rejects.toThrow('in time');
    expect(await log.lookUp(id(1))).toBe('absent');
    log.land();
    expect(await log.lookUp(id(1))).toBe('absent');

    await expect(append(log, id(2))).rejects.toThrow('in time');
    log.land();
    expect(await log.lookUp(id(2))).toBe('recorded');
  });

  it('sends again what was refused for its incarnation', async () => {
    const { log, id } = await opened();
    log.failNext('stale');
    await append(log, id(1));
    expect(await log.lookUp(id(1))).toBe('recorded');
  });

  it('tells after a fence what was refused from what was not answered', async () => {
    const { log, id } = await opened();
    log.failNext('unanswered', 'late', 'fenced');
    for (const sequence of [1, 2]) await expect(append(log, id(sequence))).rejects.toThrow();
    await expect(append(log, id(3))).rejects.toMatchObject({ code: 'DTC_FENCED' });
    expect(await Promise.all([1, 2, 3, 4].map((sequence) => log.lookUp(id(sequence))))).toEqual([
      'fenced',
      'fenced',
      'absent',
      'absent',
    ]);
  });

  it('sends nothing during an outage, and works again by itself', async () => {
    const { store, log, id } = await opened();
    store.isDown = true;
    await expect(append(log, id(1))).rejects.toThrow('reached');
    await expect(log.lookUp(id(1))).rejects.toThrow('reached');
    await expect(log.check()).rejects.toThrow('reached');
    store.isDown = false;
    await log.check();
    expect(await log.lookUp(id(1))).toBe('absent');
  });

  it('shows the age of a lease by the clock of the server, and since when the server is up', async () => {
    const { store, log, claim } = await opened();
    const other = await openOn(store);
    store.advance(3_000);
    other.log.crash();
    const { epochs, serverUptimeMs } = await log.members.renew(LEASE);
    expect(serverUptimeMs).toBe(3_000);
    expect(epochs).toMatchObject([
      { epoch: claim.epoch, ageMs: 0, isLockHeld: true },
      { epoch: other.claim.epoch, ageMs: 3_000, isLockHeld: false },
    ]);
    store.restart();
    expect((await other.log.members.renew(LEASE)).epochs[0]).toMatchObject({ isLockHeld: false });
  });

  it('ends each epoch on a new timeline, and presumes only where the owner has checked its mark', async () => {
    const { store, log, claim, id } = await opened();
    const dead = await openOn(store);
    await append(log, id(1));
    store.failOver();
    expect((await log.members.renew(LEASE)).mustRestart).toBe('timeline');
    await expect(append(log, id(2))).rejects.toMatchObject({ code: 'DTC_FENCED' });
    await log.members.restart();
    expect(await log.members.runs([claim.epoch, dead.claim.epoch])).toMatchObject([
      { isFenced: true, isPresumable: true },
      { isFenced: false, isPresumable: false },
    ]);
    const adoption = await log.members.adopt(dead.claim.epoch);
    expect(adoption).toMatchObject({ runs: [{ run: { epoch: dead.claim.epoch, durable: false } }] });
    expect(await log.outcomeOf(dead.id(1))).toEqual({ outcome: 'unknown', because: 'undecidable' });
    expect(await log.outcomeOf(id(2))).toEqual({ outcome: 'aborted' });
  });

  it('goes on in its epoch where only synchronous standbys take over', async () => {
    const { store, log, id } = await opened({ synchronousStandbys: true });
    store.failOver();
    await append(log, id(1));
    expect((await log.members.renew(LEASE)).mustRestart).toBeNull();
  });

  it('decides nothing more when the log has lost what it had acknowledged, in whatever order', async () => {
    const { store, log, claim, id } = await opened();
    for (const sequence of [9, 2]) await append(log, id(sequence));
    store.failOver([id(2)]);
    const behind = { code: 'DTC_LOG_BEHIND', epoch: claim.epoch, acknowledged: 2, found: 1 };
    await expect(append(log, id(3))).rejects.toMatchObject(behind);
    await expect(log.members.restart()).rejects.toMatchObject(behind);
    expect(store.of('shop').outcomeOf(id(2))).toEqual({ outcome: 'unknown', because: 'undecidable' });
  });

  it('decides nothing more when the log has lost a record that was promised, and goes on without another one', async () => {
    const { store, log, claim, id } = await opened();
    await append(log, id(1));
    const record = recordOf(id(1), 'moved');
    const epoch = store.of('shop').epochs.get(claim.epoch)!;
    for (const isPromised of [false, true]) {
      const before = epoch.highWater;
      await log.progress({ id: id(1), toRecord: () => record }, isPromised);
      expect(epoch.highWater - before).toBe(Number(isPromised));
    }
    epoch.highWater--;
    store.failOver();
    await expect(log.check()).rejects.toMatchObject({ code: 'DTC_LOG_BEHIND', acknowledged: 2, found: 1 });
  });

  it('answers unknown, never aborted, for what was purged', async () => {
    const { store, log, id, claim } = await opened();
    await append(log, id(2));
    await log.end(id(2));
    store.of('shop').purge(store.now());
    expect(await log.outcomeOf(id(1))).toMatchObject({ outcome: 'live', isPurged: true });
    const other = await openOn(store);
    await other.log.members.adopt(claim.epoch);
    expect(await other.log.outcomeOf(id(2))).toEqual({ outcome: 'unknown', because: 'purged' });
    expect(await other.log.outcomeOf(id(3))).toEqual({ outcome: 'aborted' });
  });
});
