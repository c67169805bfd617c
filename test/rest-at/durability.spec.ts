import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OperatorActions, TransactionManager } from '../../src/coordinator/index.js';
import { SharedMemoryLog } from '../../src/coordinator/testing/shared-memory-log.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import type { Begun, RestAtClient } from './client.js';
import { type RunningCoordinator, folderForDecisions, startModule } from './coordinators.js';
import { ParticipantServer, type TestParticipant, says } from './participants.js';

const LEASE_MS = 300;
const REASON = { by: 'alice', reason: 'corrected by hand' };

/** The same resource at another coordinator process. */
function at(url: string, { base }: RestAtClient): string {
  return base + url.slice(url.indexOf('/tx/') + '/tx'.length);
}

describe('REST-AT over a restart of the coordinator', () => {
  let folder: ReturnType<typeof folderForDecisions>;
  let participants: ParticipantServer;
  let coordinator: RunningCoordinator;

  const start = (allow = [participants.origin]): Promise<RunningCoordinator> =>
    startModule({ allow }, { name: 'shop', log: new SqliteDecisionLog({ path: folder.path }) });

  beforeEach(async () => {
    folder = folderForDecisions();
    participants = await ParticipantServer.start();
    coordinator = await start();
  });

  afterEach(async () => {
    await coordinator.close();
    await participants.close();
    folder.remove();
  });

  async function restart(): Promise<void> {
    await coordinator.close();
    coordinator = await start();
  }

  /** A transaction whose commit is decided and not delivered to the first participant. */
  async function decided(script: TestParticipant['script'], kind: TestParticipant['kind'] = 'aware') {
    const { client } = coordinator;
    const begun = await client.begin();
    const [participant, other] = [participants.add(kind, script), participants.add()];
    const recovery = await client.enlist(begun, participant);
    await client.enlist(begun, other);
    const { code } = await client.commit(begun);
    expect(code).toBe(202);
    return { begun, participant, other, recovery };
  }

  it('fault 35: delivers the second phase of what was decided, with every link, and forgets nothing meanwhile', async () => {
    const { begun, participant, other, recovery } = await decided({ commit: [503] }, 'unaware');
    await restart();
    const { client } = coordinator;
    const here = { ...begun, url: at(begun.url, client), terminator: at(begun.terminator, client) };

    expect(await client.status(here)).toBe('200 txstatus=TransactionCommitting');
    expect((await client.commit(here)).code).toBe(202);
    const { code, links } = await client.send('GET', at(recovery, client));
    expect([code, links['rollback'], links['commit-one-phase']]).toEqual([
      200,
      `${participant.url}/rollback`,
      `${participant.url}/one-phase`,
    ]);
    participant.script = {};
    await expect.poll(() => client.status(here)).toBe('410 txstatus=TransactionCommitted');
    expect(other.orders()).toEqual(['prepare', 'commit']);
    expect((await client.send('GET', at(recovery, client))).code).toBe(503);
  });

  it('delivers it to the address to which a participant has moved before', async () => {
    const { participant, recovery } = await decided({ commit: [503] });
    const moved = participants.add('aware', { commit: [503] });
    expect((await coordinator.client.send('PUT', recovery, { link: moved.link })).code).toBe(200);
    const before = participant.count('commit');
    await restart();

    moved.script = {};
    await expect
      .poll(async () => (await coordinator.client.send('GET', at(recovery, coordinator.client))).code)
      .toBe(503);
    expect([participant.count('commit'), moved.orders().at(-1)]).toEqual([before, 'commit']);
  });

  it('delivers it to the address to which a participant moves afterwards', async () => {
    const { participant, recovery } = await decided({ commit: [404], links: [404] });
    await restart();
    const moved = participants.add();
    const { client } = coordinator;

    expect((await client.send('PUT', at(recovery, client), { link: moved.link })).code).toBe(200);
    await expect.poll(() => moved.orders()).toEqual(['commit']);
    const former = participant.count('commit');
    await expect.poll(async () => (await client.send('GET', at(recovery, client))).code).toBe(503);
    expect(participant.count('commit')).toBe(former);
  });

  it('calls no address of the log that is not allowed any more, until it is allowed again', async () => {
    const { begun, participant, recovery } = await decided({ commit: [503] });
    await coordinator.close();
    const before = participant.count('commit');
    coordinator = await start(['http://192.0.2.1']);
    const lastError = (): string | null | undefined =>
      coordinator.app.get(TransactionManager).find(begun.id)?.branches[0]?.lastError;
    await expect.poll(lastError).toContain('is not in the option allow');
    participant.script = {};
    await restart();

    const code = async (): Promise<number> =>
      (await coordinator.client.send('GET', at(recovery, coordinator.client))).code;
    await expect.poll(code).toBe(503);
    expect(participant.count('commit')).toBe(before + 1);
  });

  it('tells a participant of a transaction that was never decided that it is aborted', async () => {
    const begun = await coordinator.client.begin();
    const recovery = await coordinator.client.enlist(begun, participants.add());
    await restart();
    const { client } = coordinator;

    await expect.poll(async () => (await client.send('GET', at(recovery, client))).code).toBe(404);
    expect((await client.commit({ ...begun, terminator: at(begun.terminator, client) })).code).toBe(404);
  });

  it('keeps the end of a participant by itself, and lets it forget that once an operator has', async () => {
    const { client } = coordinator;
    const begun = await client.begin();
    const participant = participants.add('aware', {
      commit: [says('TransactionHeuristicRollback')],
      forget: [503, 204],
    });
    await client.enlist(begun, participant, participants.add());
    expect((await client.commit(begun)).text).toBe('txstatus=TransactionHeuristicMixed');
    await restart();
    const status = (): Promise<string> =>
      coordinator.client.status({ ...begun, url: at(begun.url, coordinator.client) });
    expect(await status()).toBe('410 txstatus=TransactionHeuristicMixed');
    expect(participant.count('forget')).toBe(0);
    await coordinator.app.get(OperatorActions).forget(begun.id, REASON);
    await expect.poll(() => participant.count('forget')).toBe(2);
    expect(await status()).toBe('410 txstatus=TransactionCommitted');
    expect(participant.count('commit')).toBe(1);
  });

  it('lets a participant that has ended by itself as was decided forget that at once', async () => {
    const { client } = coordinator;
    const begun = await client.begin();
    const participant = participants.add('aware', { commit: [says('TransactionHeuristicCommit')] });
    await client.enlist(begun, participant, participants.add());
    expect((await client.commit(begun)).text).toBe('txstatus=TransactionCommitted');
    await expect.poll(() => participant.count('forget')).toBe(1);
  });
});

describe('REST-AT at the members of one log', () => {
  const store = new SharedMemoryStore({ now: () => performance.now() });
  let participants: ParticipantServer;
  let logOfOne: SharedMemoryLog;
  let one: RunningCoordinator;
  let two: RunningCoordinator;

  beforeAll(async () => {
    participants = await ParticipantServer.start();
    const options = { name: 'shop', leaseMs: LEASE_MS };
    logOfOne = new SharedMemoryLog(store);
    one = await startModule({ allow: [participants.origin] }, { ...options, log: logOfOne });
    two = await startModule(
      { allow: [participants.origin] },
      { ...options, log: new SharedMemoryLog(store) },
    );
  });
  afterAll(async () => {
    await two.close();
    await participants.close();
  });

  it('belongs to one member, and follows its participants to the one that adopts it', async () => {
    const undecided = await one.client.begin();
    const recoveryOfUndecided = await one.client.enlist(undecided, participants.add());
    const decided = await one.client.begin();
    const participant = participants.add('aware', { commit: [503] });
    const recovery = await one.client.enlist(decided, participant);
    await one.client.enlist(decided, participants.add());
    expect((await one.client.commit(decided)).code).toBe(202);

    const { client } = two;
    const here = (begun: Begun): Begun => ({
      ...begun,
      url: at(begun.url, client),
      terminator: at(begun.terminator, client),
      durable: at(begun.durable, client),
    });
    const { link } = participants.add();
    const codesOf = async (begun: Begun): Promise<number[]> => {
      const replies = [
        await client.send('GET', begun.url),
        await client.commit(begun),
        await client.send('POST', begun.durable, { link }),
      ];
      return replies.map(({ code }) => code);
    };
    expect(await codesOf(here(undecided))).toEqual([421, 421, 421]);
    // The log of both says that its commit is decided.
    expect(await client.status(here(decided))).toBe('410 txstatus=TransactionCommitted');
    // Abort is not proven: the member lives.
    expect((await client.send('GET', at(recoveryOfUndecided, client))).code).toBe(503);

    logOfOne.crash();
    await one.close();
    const moved = participants.add();
    const move = async (): Promise<number> =>
      (await client.send('PUT', at(recovery, client), { link: moved.link })).code;
    await expect.poll(move).toBe(200);
    await expect.poll(() => moved.orders()).toEqual(['commit']);
    await expect.poll(async () => (await client.send('GET', at(recoveryOfUndecided, client))).code).toBe(404);
    expect(await client.status(here(decided))).toBe('410 txstatus=TransactionCommitted');
  });
});
