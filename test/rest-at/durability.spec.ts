import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OperatorActions, TransactionManager } from '../../src/coordinator/index.js';
import { SharedMemoryLog } from '../../src/coordinator/testing/shared-memory-log.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import type { Begun, Reply, RestAtClient } from './client.js';
import { type RunningCoordinator, folderForDecisions, startModule } from './coordinators.js';
import { ParticipantServer, type TestParticipant, says } from './participants.js';

const LEASE_MS = 1_000;
const REASON = { by: 'alice', reason: 'corrected by hand' };

/** A transaction whose commit was asked for, and what its client was told. */
interface Decided {
  readonly begun: Begun;
  readonly participant: TestParticipant;
  readonly other: TestParticipant;
  readonly recovery: string;
  readonly text: string;
}

/** The same resource at another coordinator process. */
function at(url: string, { base }: RestAtClient): string {
  return base + url.slice(url.indexOf('/tx/') + '/tx'.length);
}

describe('REST-AT over a restart of the coordinator', () => {
  const folder = folderForDecisions();
  let participants: ParticipantServer;
  let coordinator: RunningCoordinator;
  /** Their commits are decided and not delivered: one stays, one has moved, one has moved without a word. */
  let [stays, moved, lost]: Decided[] = [];
  let [recoveryOfUndecided, heuristic]: [string, Decided] | [] = [];

  const start = (allow = [participants.origin]): Promise<RunningCoordinator> =>
    startModule({ allow }, { name: 'shop', log: new SqliteDecisionLog({ path: folder.path }) });

  async function decided(
    script: TestParticipant['script'],
    kind: TestParticipant['kind'] = 'aware',
  ): Promise<Decided> {
    const { client } = coordinator;
    const begun = await client.begin();
    const [participant, other] = [participants.add(kind, script), participants.add()];
    const recovery = await client.enlist(begun, participant);
    await client.enlist(begun, other);
    const { text } = await client.commit(begun);
    return { begun, participant, other, recovery, text };
  }

  async function restart(allow = [participants.origin]): Promise<void> {
    await coordinator.close();
    coordinator = await start(allow);
  }

  /** As its client asks the coordinator that runs now. */
  const status = ({ begun }: Decided): Promise<string> =>
    coordinator.client.status({ ...begun, url: at(begun.url, coordinator.client) });
  const ask = ({ recovery }: Pick<Decided, 'recovery'>): Promise<Reply> =>
    coordinator.client.send('GET', at(recovery, coordinator.client));

  beforeAll(async () => {
    participants = await ParticipantServer.start();
    coordinator = await start();
    stays = await decided({ commit: [503] }, 'unaware');
    moved = await decided({ commit: [503] });
    lost = await decided({ commit: [404], links: [404] });
    heuristic = await decided({ commit: [says('TransactionHeuristicRollback')], forget: [503, 204] });
    expect([stays, moved, lost, heuristic].map(({ text }) => text)).toEqual([
      ...Array.from({ length: 3 }, () => 'txstatus=TransactionCommitting'),
      'txstatus=TransactionHeuristicMixed',
    ]);
    recoveryOfUndecided = await coordinator.client.enlist(
      await coordinator.client.begin(),
      participants.add(),
    );
  });
  afterAll(async () => {
    await coordinator.close();
    await participants.close();
    folder.remove();
  });

  it('calls no address of the log that is not allowed any more', async () => {
    await coordinator.close();
    const before = stays!.participant.count('commit');
    coordinator = await start(['http://192.0.2.1']);
    const lastError = (): string | null | undefined =>
      coordinator.app.get(TransactionManager).find(stays!.begun.id)?.branches[0]?.lastError;
    await expect.poll(lastError).toContain('is not in the option allow');
    expect(stays!.participant.count('commit')).toBe(before);
  });

  it('delivers the decision to the address to which a participant has moved before', async () => {
    await restart();
    const { participant, recovery } = moved!;
    const latter = participants.add('aware', { commit: [503] });
    const { client } = coordinator;
    expect((await client.send('PUT', at(recovery, client), { link: latter.link })).code).toBe(200);
    await restart();

    const before = participant.count('commit');
    latter.script = {};
    await expect.poll(async () => (await ask(moved!)).code).toBe(503);
    expect([participant.count('commit'), latter.orders().at(-1)]).toEqual([before, 'commit']);
  });

  it('fault 35: delivers the second phase of all decisions, with every link, and forgets nothing meanwhile', async () => {
    const { participant, other, begun } = stays!;
    const { client } = coordinator;
    expect(await status(stays!)).toBe('200 txstatus=TransactionCommitting');
    const again = await client.commit({ ...begun, terminator: at(begun.terminator, client) });
    expect(again.code).toBe(202);
    const { code, links } = await ask(stays!);
    expect([code, links['rollback'], links['commit-one-phase']]).toEqual([
      200,
      `${participant.url}/rollback`,
      `${participant.url}/one-phase`,
    ]);
    participant.script = {};
    await expect.poll(() => status(stays!)).toBe('410 txstatus=TransactionCommitted');
    // A note that is lost with the process is made up for by one more commit.
    expect([other.count('prepare'), other.count('rollback')]).toEqual([1, 0]);
    expect((await ask(stays!)).code).toBe(503);
  });

  it('delivers the decision to the address to which a participant moves afterwards', async () => {
    const { participant, recovery } = lost!;
    const latter = participants.add();
    const { client } = coordinator;
    expect((await client.send('PUT', at(recovery, client), { link: latter.link })).code).toBe(200);
    await expect.poll(() => latter.orders()).toEqual(['commit']);
    const former = participant.count('commit');
    await expect.poll(async () => (await ask(lost!)).code).toBe(503);
    expect(participant.count('commit')).toBe(former);
  });

  it('tells a participant of a transaction that was never decided that it is aborted', async () => {
    await expect.poll(async () => (await ask({ recovery: recoveryOfUndecided! })).code).toBe(404);
  });

  it('keeps the end of a participant by itself, and lets it forget that once an operator has', async () => {
    const { participant, begun } = heuristic!;
    expect(await status(heuristic!)).toBe('410 txstatus=TransactionHeuristicMixed');
    expect(participant.count('forget')).toBe(0);
    await coordinator.app.get(OperatorActions).forget(begun.id, REASON);
    await expect.poll(() => participant.count('forget')).toBe(2);
    expect(await status(heuristic!)).toBe('410 txstatus=TransactionCommitted');
    expect(participant.count('commit')).toBe(1);
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
