import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CoordinatorStatus, OperatorActions, branch } from '../../src/coordinator/index.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';
import {
  type Answered,
  ForgedMember,
  HttpMember,
  MEMBER_TOKEN,
  OPERATOR,
  READER,
  type Shown,
} from '../support/http-members.js';

interface Page {
  readonly transactions: readonly Shown[];
  readonly nextCursor: string | null;
  readonly unanswered: readonly { epoch: number; member: string; problem: string }[];
}

interface Members {
  readonly epoch: number;
  readonly members: readonly {
    readonly epoch: number;
    readonly member: string;
    readonly state: string;
    readonly self: boolean;
    readonly address: string | null;
    readonly condition: { readonly accepting: boolean; readonly inFlight: number } | null;
    readonly problem: string | null;
  }[];
}

interface Trail {
  readonly entries: readonly { id: string; by: string; action: string; target: string; reason: string }[];
  readonly nextCursor: string | null;
}

const REASON = { reason: 'the bank is back' };
const epochOf = ({ app }: HttpMember): number => app.get(CoordinatorStatus).view().epoch;

/**
 * Runs a transaction whose branches at the bank stall after the decision, for as long as the bank has this
 * script.
 */
async function stalledAt(member: HttpMember): Promise<string> {
  member.bank.script = { commit: 'throw' };
  const { transactionId } = await member.transactions.run({
    name: 'sale',
    branches: [branch('bank', 1), branch('bank', 2)],
  });
  await member.until<Shown>(`transactions/${transactionId}`, ({ body }) =>
    body.branches.every(({ stalled }) => stalled),
  );
  return transactionId;
}

describe('Any member', () => {
  // Its clock stands still, so no lease expires: the test says which members are gone.
  const store = new SharedMemoryStore();
  let one: HttpMember;
  let two: HttpMember;

  beforeAll(async () => {
    one = await HttpMember.start('one', store);
    two = await HttpMember.start('two', store);
    await Promise.all([one.sees(2), two.sees(1)]);
  });
  afterAll(() => Promise.all([one.close(), two.close()]));

  it('shows a transaction of another member as its owner has it, and names the owner', async () => {
    const { transactionId } = await one.transactions.run({ name: 'sale', branches: [branch('bank', 1)] });

    const [own, other] = await Promise.all([
      one.get<Shown>(`transactions/${transactionId}`),
      two.get<Shown>(`transactions/${transactionId}`),
    ]);

    expect(own.body).toMatchObject({ transactionId, state: 'COMMITTED', owner: { epoch: 1, member: 'one' } });
    expect(own.body.timeline.length).toBeGreaterThan(2);
    expect([other.status, other.body]).toEqual([200, own.body]);
    expect(await two.transactions.outcomeOf(transactionId)).toEqual({ transactionId, status: 'committed' });
  });

  it('says pending of a transaction of another member that goes on, in the library as well', async () => {
    const transaction = one.transactions.begin({ name: 'long' });
    const { id } = transaction;

    expect((await two.get<Shown>(`transactions/${id}`)).body).toMatchObject({
      state: 'ACTIVE',
      name: 'long',
    });
    expect(await two.transactions.outcomeOf(id)).toEqual({ transactionId: id, status: 'pending' });
    await transaction.rollback('enough');
    expect(await two.transactions.outcomeOf(id)).toEqual({ transactionId: id, status: 'aborted' });
  });

  it('does not know an id that no member has given out', async () => {
    const foreign = await two.get('transactions/shop.abcdefghijkl.1.1');
    expect([foreign.status, foreign.body['code']]).toEqual([404, 'DTC_TRANSACTION_NOT_FOUND']);
    const malformed = await two.get('transactions/nonsense');
    expect([malformed.status, malformed.body['code']]).toEqual([404, 'DTC_TRANSACTION_NOT_FOUND']);
  });

  it('lists the transactions of all members page by page, each once and with its owner', async () => {
    const began: string[] = [];
    for (const member of [one, two, two, one, one]) {
      const { transactionId } = await member.transactions.run({
        name: 'listed',
        branches: [branch('bank', 1)],
      });
      began.push(transactionId);
    }
    const listed: Shown[] = [];
    let pages = 0;
    let cursor: string | null = null;
    do {
      const query: string = `transactions?name=listed&limit=2${cursor === null ? '' : `&cursor=${cursor}`}`;
      const { body, status }: Answered<Page> = await two.get<Page>(query);
      expect([status, body.unanswered]).toEqual([200, []]);
      listed.push(...body.transactions);
      cursor = body.nextCursor;
      pages++;
    } while (cursor !== null);

    expect(pages).toBe(3);
    expect(listed.map(({ transactionId }) => transactionId).toSorted()).toEqual(began.toSorted());
    expect(listed.map(({ startedAt }) => startedAt)).toEqual(
      listed
        .map(({ startedAt }) => startedAt)
        .toSorted()
        .toReversed(),
    );
    for (const { transactionId, owner } of listed) {
      expect(owner).toEqual(
        began.indexOf(transactionId) % 5 === 1 || began.indexOf(transactionId) === 2
          ? { epoch: 2, member: 'two' }
          : { epoch: 1, member: 'one' },
      );
    }
    const wrong = await two.get('transactions?cursor=7');
    expect([wrong.status, wrong.body['code']]).toEqual([400, 'DTC_INVALID_REQUEST']);
  });

  it('has an action done by the owner, in the name of the operator and without its token', async () => {
    const id = await stalledAt(one);
    const branchId = one.transactions.find(id)!.branches[0]!.branchId;
    const before = one.calls.length;

    const refused = await two.post(`transactions/${id}/abort`, { reason: 'no' });
    expect([refused.status, refused.body['code']]).toEqual([409, 'DTC_ACTION_REFUSED']);
    expect(refused.body['detail']).toBe(`The commit of ${id} is decided, and a decision is final.`);
    const missing = await two.post(`transactions/${id}/branches/none/retry`, REASON);
    expect([missing.status, missing.body['code']]).toEqual([404, 'DTC_BRANCH_NOT_FOUND']);
    const resolved = await two.post<Shown>(`transactions/${id}/branches/${branchId}/resolve`, {
      as: 'rollback',
      reason: 'looked',
    });
    expect([resolved.status, resolved.body]).toMatchObject([
      200,
      { owner: { epoch: 1 }, heuristic: 'mixed' },
    ]);
    for (const { branchId: other } of one.transactions.find(id)!.branches.slice(1)) {
      expect((await two.post(`transactions/${id}/branches/${other}/retry`, REASON)).status).toBe(200);
    }
    // From here on the recovery job may complete it at any moment, and a retry would be refused.
    one.bank.script = {};
    await two.until<Shown>(`transactions/${id}`, ({ body }) => body.endedAt !== null);
    const forgotten = await two.post<Shown>(`transactions/${id}/forget`, { reason: 'repaired' });
    expect([forgotten.status, forgotten.body]).toMatchObject([200, { transactionId: id, heuristic: null }]);

    const trail = one.app.get(OperatorActions).audit(10);
    expect(trail.map(({ by, action }) => `${by} ${action}`)).toEqual([
      'alice forget',
      'alice retry',
      'alice resolve',
    ]);
    const calls = one.calls.slice(before);
    expect(calls.length).toBeGreaterThan(5);
    expect(new Set(calls.map(({ authorization }) => authorization))).toEqual(
      new Set([`Bearer ${MEMBER_TOKEN}`]),
    );
    expect(JSON.stringify(calls)).not.toContain(OPERATOR.token);
  });

  it('has one audit trail, whichever member has acted', async () => {
    await one.post('coordinator/drain', { reason: 'first' });
    await two.post('coordinator/drain', { reason: 'second', member: 1 });
    await two.post('coordinator/undrain', { reason: 'third' });
    await one.post('coordinator/undrain', { reason: 'fourth' });
    await two.post('participants/bank/pause', { reason: 'fifth', member: 2 });
    await two.post('participants/bank/resume', { reason: 'sixth', member: 2 });

    const first = (await two.get<Trail>('audit?limit=3')).body;
    const second = (await two.get<Trail>(`audit?limit=2&cursor=${first.nextCursor}`)).body;

    expect(first.entries.map(({ reason, id }) => [reason, id.split('.')[0]])).toEqual([
      ['sixth', '2'],
      ['fifth', '2'],
      ['fourth', '1'],
    ]);
    expect(second.entries.map(({ reason, id }) => [reason, id.split('.')[0]])).toEqual([
      ['second', '1'],
      ['first', '1'],
    ]);
    expect((await one.get<Trail>('audit?limit=3')).body).toEqual(first);
    expect(second.entries).not.toContainEqual(expect.objectContaining({ reason: 'third' }));
  });

  it('pauses a participant at all members, and resumes it where it is paused', async () => {
    const paused = await two.post('participants/bank/pause', { reason: 'failing over' });
    expect([paused.status, paused.body]).toMatchObject([200, { paused: { by: 'alice' }, unanswered: [] }]);
    for (const member of [one, two]) {
      await expect(member.transactions.run({ branches: [branch('bank', 1)] })).rejects.toMatchObject({
        code: 'DTC_PARTICIPANT_PAUSED',
      });
    }
    await one.post('participants/bank/resume', { reason: 'only here', member: 1 });
    const resumed = await one.post('participants/bank/resume', { reason: 'over' });
    expect([resumed.status, resumed.body]).toMatchObject([200, { paused: null, unanswered: [] }]);
    expect((await two.transactions.run({ branches: [branch('bank', 1)] })).status).toBe('committed');
    const again = await one.post('participants/bank/resume', { reason: 'over' });
    expect([again.status, again.body['code']]).toEqual([409, 'DTC_ACTION_REFUSED']);
    const unknown = await one.post('participants/nobody/pause', { reason: 'none' });
    expect([unknown.status, unknown.body['code']]).toEqual([404, 'DTC_PARTICIPANT_NOT_FOUND']);
  });

  it('drains another member, and lists it as draining', async () => {
    const drained = await two.post('coordinator/drain', { reason: 'scaling down', member: 1 });
    expect([drained.status, drained.body]).toMatchObject([200, { epoch: 1, condition: { draining: true } }]);
    expect((await two.get('coordinator')).body).toMatchObject({ epoch: 2, condition: { draining: false } });
    expect((await one.get('health/ready')).status).toBe(503);
    await two.until<Members>('members', ({ body }) =>
      JSON.stringify(body).includes('"draining":true,"leaseAgeMs"'),
    );
    expect((await two.post('coordinator/undrain', { reason: 'up', member: 1 })).status).toBe(200);
    expect((await one.get('health/ready')).status).toBe(200);
    const gone = await two.post('coordinator/drain', { reason: 'none', member: 77 });
    expect([gone.status, gone.body['code']]).toEqual([503, 'DTC_MEMBER_UNREACHABLE']);
    expect(gone.body['detail']).toContain('So nothing was done.');
  });

  it('shows the members with their epochs, leases and condition', async () => {
    const { status, body } = await two.get<Members>('members');

    expect(status).toBe(200);
    expect(body).toMatchObject({ shared: true, epoch: 2, leaseMs: 200, adoptions: 0, returns: 0 });
    expect(body.members).toMatchObject([
      {
        epoch: 1,
        member: 'one',
        self: false,
        state: 'alive',
        address: one.url,
        condition: { accepting: true },
        problem: null,
      },
      {
        epoch: 2,
        member: 'two',
        self: true,
        state: 'alive',
        address: two.url,
        condition: { accepting: true },
        problem: null,
      },
    ]);
  });

  it('sends events with the members, and with the alarms of another member', async () => {
    const id = await stalledAt(one);
    const leaving = new AbortController();
    const { body } = await fetch(`${two.url}/events`, {
      headers: { authorization: `Bearer ${READER.token}` },
      signal: leaving.signal,
    });
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of body!) {
      text += decoder.decode(chunk, { stream: true });
      if (text.includes(id)) break;
    }
    leaving.abort();
    one.bank.script = {};
    const last = text.slice(text.lastIndexOf('data: ') + 6).trim();
    const overview = JSON.parse(last) as {
      alarms: { readonly unit: string }[];
      alarmsTotal: number;
      members: Members;
    };

    // On a slow machine so many attempts fail that their rate is an alarm as well.
    expect(overview.alarms.filter(({ unit }) => unit === 'transactions')).toMatchObject([
      { name: 'DtcStalled', count: 1, oldest: id, members: ['one, epoch 1'] },
    ]);
    expect(overview.alarmsTotal).toBe(overview.alarms.length);
    expect(overview.members.members.map(({ member }) => member)).toEqual(['one', 'two']);
    const branches = one.transactions.find(id)!.branches;
    for (const { branchId } of branches)
      await one.post(`transactions/${id}/branches/${branchId}/retry`, REASON);
  });

  it('answers from the log for a member that is gone, and says unknown while it does not know', async () => {
    const gone = await ForgedMember.start(store, 'http://127.0.0.1:1');
    const record = { id: gone.id(2), name: 'sale', decider: { kind: 'log' as const }, branches: [] };
    await gone.log.append({ id: gone.id(2), toRecord: () => record });
    await Promise.all([one.sees(gone.epoch), two.sees(gone.epoch)]);

    const unknown = await two.get(`transactions/${gone.id(1)}`);
    expect([unknown.status, unknown.body['code']]).toEqual([503, 'DTC_ASK_LATER']);
    expect(unknown.headers.get('retry-after')).toBe('1');
    expect(unknown.body['detail']).toMatch(
      /"forged" with epoch \d+, and .*cannot be reached.*may have committed/,
    );
    const action = await two.post(`transactions/${gone.id(1)}/abort`, REASON);
    expect([action.status, action.body['code']]).toEqual([503, 'DTC_MEMBER_UNREACHABLE']);
    expect((await two.get(`transactions/${gone.id(2)}`)).body).toEqual({
      transactionId: gone.id(2),
      outcome: 'committed',
      decision: 'commit',
      owner: { epoch: gone.epoch, member: 'forged' },
    });

    await gone.log.members.leave();
    const known = await two.until<Record<string, unknown>>(
      `transactions/${gone.id(1)}`,
      ({ status }) => status === 200,
    );
    expect(known.body).toMatchObject({ transactionId: gone.id(1), outcome: 'aborted', decision: 'abort' });
  });

  it('says ask later while the log does not answer', async () => {
    const { transactionId } = await one.transactions.run({ branches: [branch('bank', 1)] });
    store.isDown = true;
    try {
      const answer = await two.get(`transactions/${transactionId}`);
      expect([answer.status, answer.body['code']]).toEqual([503, 'DTC_ASK_LATER']);
      expect((await one.get<Shown>(`transactions/${transactionId}`)).body.state).toBe('COMMITTED');
      const trail = await two.get('audit');
      expect([trail.status, trail.body['code']]).toEqual([503, 'DTC_LOG_UNAVAILABLE']);
    } finally {
      store.isDown = false;
    }
    await two.until('health/ready', ({ status }) => status === 200);
    await one.until('health/ready', ({ status }) => status === 200);
  });

  it('is red after a fence, and green again with its new epoch', async () => {
    const { members } = two.log;
    const restart = members.restart.bind(members);
    const mayReturn = Promise.withResolvers<void>();
    members.restart = async () => {
      await mayReturn.promise;
      return restart();
    };
    await members.leave();

    const red = await two.until<{ error: object }>('health/ready', ({ status }) => status === 503);
    expect(red.body.error).toMatchObject({ coordinator: { status: 'down', fenced: true, accepting: false } });
    expect((await two.get('health/live')).status).toBe(200);
    mayReturn.resolve();
    const green = await two.until<{ info: object }>('health/ready', ({ status }) => status === 200);
    expect(green.body.info).toMatchObject({ coordinator: { fenced: false } });
    expect(epochOf(two)).toBeGreaterThan(2);
    expect((await two.get<Members>('members')).body).toMatchObject({ epoch: epochOf(two), returns: 1 });
  });
});
