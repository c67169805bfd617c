import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OperatorActions } from '../../src/coordinator/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import type { RestAtClient } from './client.js';
import { type RunningCoordinator, folderForDecisions, startModule } from './coordinators.js';
import { ParticipantServer, type TestParticipant, says } from './participants.js';

const REASON = { by: 'alice', reason: 'corrected by hand' };

/** The same resource at another coordinator process. */
function at(url: string, { base }: RestAtClient): string {
  return base + url.slice(url.indexOf('/tx/') + '/tx'.length);
}

describe('REST-AT over a restart of the coordinator', () => {
  let folder: ReturnType<typeof folderForDecisions>;
  let participants: ParticipantServer;
  let coordinator: RunningCoordinator;

  const start = (): Promise<RunningCoordinator> =>
    startModule(
      { allow: [participants.origin] },
      { name: 'shop', log: new SqliteDecisionLog({ path: folder.path }), shutdownGraceMs: 10 },
    );

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

  it('delivers the second phase of what was decided, with every link, and forgets nothing meanwhile', async () => {
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
