import { describe, expect, it } from 'vitest';
import { branch } from '../participant/branch-request.js';
import type { ParticipantCounts } from '../participant/registered-participant.js';
import {
  type ParticipantScript,
  ScriptedParticipant,
  createTestCoordinator,
  settled,
} from '../testing/index.js';

/** An incident as noted: its type, the branch, the attempt, and its text. */
type Noted = [type: string, branch: number, attempt: number, message: string];

interface Case {
  readonly name: string;
  readonly script: ParticipantScript;
  /** The behaviour of the second participant; without one, the first may commit in one phase. */
  readonly other?: ParticipantScript;
  readonly counts: Partial<ParticipantCounts>;
  readonly incidents?: readonly Noted[];
}

const FAILURE = 'scripted failure';
const LATE = 'did not answer';
const YES: ParticipantScript = {};
/** It has no vote yet when the vote of the other one is known. */
const HANGS: ParticipantScript = { prepare: 'hang' };
const NO_ANSWER = 'answered a number, which is neither commit nor abort';
const GARBAGE = { answer: 5 };

const CASES: readonly Case[] = [
  { name: 'a commit', script: YES, other: YES, counts: { commitVotes: 1, committed: 1 } },
  {
    name: 'a branch that only read',
    script: { prepare: 'read-only' },
    other: YES,
    counts: { readOnlyVotes: 1 },
  },
  {
    name: 'a refusal',
    script: { prepare: { refuse: 'NO', reason: 'none left' } },
    other: HANGS,
    counts: { refusals: 1 },
    incidents: [['refused', 0, 0, 'none left']],
  },
  {
    name: 'an error in prepare',
    script: { prepare: 'throw' },
    other: HANGS,
    counts: { failures: 1, rolledBack: 1 },
    incidents: [['prepare-failed', 0, 0, FAILURE]],
  },
  {
    name: 'an answer that is not a vote',
    script: { prepare: GARBAGE },
    other: HANGS,
    counts: { failures: 1, rolledBack: 1 },
    incidents: [['prepare-failed', 0, 0, 'answered prepare with a number, which is not a vote']],
  },
  {
    name: 'a rollback because another branch refused',
    script: YES,
    other: { prepare: 'no' },
    counts: { commitVotes: 1, rolledBack: 1 },
    incidents: [['refused', 1, 0, 'refused without a reason']],
  },
  {
    name: 'a prepare that hangs',
    script: { prepare: 'hang' },
    other: YES,
    counts: { timeouts: 1, rolledBack: 1 },
    incidents: [['prepare-timed-out', 0, 0, `one ${LATE} prepare within 200 ms`]],
  },
  {
    name: 'a commit vote that comes too late, and is rolled back again',
    script: { prepare: { delayMs: 300, then: { answer: 'commit' } } },
    other: YES,
    counts: { timeouts: 1, lateAnswers: 1, rolledBack: 2 },
    incidents: [
      ['prepare-timed-out', 0, 0, `one ${LATE} prepare within 200 ms`],
      ['late-answer', 0, 0, 'voted commit'],
    ],
  },
  {
    name: 'a vote that comes too late and holds nothing',
    script: { prepare: { delayMs: 300, then: 'read-only' }, rollback: 'hang' },
    other: YES,
    counts: { timeouts: 1, lateAnswers: 1 },
    incidents: [
      ['prepare-timed-out', 0, 0, `one ${LATE} prepare within 200 ms`],
      ['late-answer', 0, 0, 'voted read-only'],
    ],
  },
  {
    name: 'an error that comes too late, after the refusal of another branch',
    script: { prepare: { delayMs: 100, then: 'throw' } },
    other: { prepare: { refuse: 'NO', reason: 'none left' } },
    counts: { lateAnswers: 1, lateFailures: 1, rolledBack: 2 },
    incidents: [
      ['refused', 1, 0, 'none left'],
      ['late-answer', 0, 0, `failed: ${FAILURE}`],
    ],
  },
  {
    name: 'a refusal that comes too late, after the refusal of another branch',
    script: { prepare: { delayMs: 100, then: { refuse: 'NO', reason: 'nor here' } }, rollback: 'hang' },
    other: { prepare: { refuse: 'NO', reason: 'none left' } },
    counts: { lateAnswers: 1 },
    incidents: [
      ['refused', 1, 0, 'none left'],
      ['late-answer', 0, 0, 'refused: nor here'],
    ],
  },
  {
    name: 'a commit that fails, and then succeeds',
    script: { commit: ['throw', 'throw', 'yes'] },
    other: YES,
    counts: { commitVotes: 1, failedAttempts: 2, committed: 1 },
    incidents: [
      ['attempt-failed', 0, 1, FAILURE],
      ['attempt-failed', 0, 2, FAILURE],
    ],
  },
  {
    name: 'a commit that hangs twice, and then succeeds',
    script: { commit: ['hang', 'hang', 'yes'] },
    other: YES,
    counts: { commitVotes: 1, failedAttempts: 2, timeouts: 2, committed: 1 },
    incidents: [
      ['attempt-timed-out', 0, 1, `${LATE} commit within 300 ms`],
      ['attempt-timed-out', 0, 2, `${LATE} commit within 300 ms`],
    ],
  },
  {
    name: 'a rollback that hangs, fails, and then succeeds',
    script: { rollback: ['hang', 'throw', 'yes'] },
    other: { prepare: 'no' },
    counts: { commitVotes: 1, failedAttempts: 2, timeouts: 1, rolledBack: 1 },
    incidents: [
      ['refused', 1, 0, 'refused without a reason'],
      ['attempt-timed-out', 0, 1, `${LATE} rollback within 300 ms`],
      ['attempt-failed', 0, 2, FAILURE],
    ],
  },
  {
    name: 'a commit that stalls',
    script: { commit: 'throw' },
    other: YES,
    counts: { commitVotes: 1, failedAttempts: 3 },
    incidents: [
      ['attempt-failed', 0, 1, FAILURE],
      ['attempt-failed', 0, 2, FAILURE],
      ['attempt-failed', 0, 3, FAILURE],
      ['stalled', 0, 3, FAILURE],
    ],
  },
  {
    name: 'a heuristic report of a commit',
    script: { commit: ['throw', { heuristic: 'hazard' }] },
    other: YES,
    counts: { commitVotes: 1, failedAttempts: 1, heuristicReports: 1 },
    incidents: [
      ['attempt-failed', 0, 1, FAILURE],
      ['heuristic', 0, 2, 'hazard: scripted'],
    ],
  },
  {
    name: 'a heuristic report of a rollback',
    script: { rollback: { heuristic: 'commit' } },
    other: { prepare: 'no' },
    counts: { commitVotes: 1, heuristicReports: 1 },
    incidents: [
      ['refused', 1, 0, 'refused without a reason'],
      ['heuristic', 0, 1, 'commit: scripted'],
    ],
  },
  { name: 'a one-phase commit', script: { commitOnePhase: 'yes' }, counts: { committed: 1 } },
  {
    name: 'a one-phase refusal',
    script: { commitOnePhase: 'no' },
    counts: { refusals: 1 },
    incidents: [['refused', 0, 0, 'refused without a reason']],
  },
  {
    name: 'a one-phase commit that gives an invalid answer, hangs, and then succeeds',
    script: { commitOnePhase: [GARBAGE, 'hang', 'yes'] },
    counts: { failedAttempts: 2, timeouts: 1, committed: 1 },
    incidents: [
      ['attempt-failed', 0, 1, NO_ANSWER],
      ['attempt-timed-out', 0, 2, `${LATE} commitOnePhase within 200 ms`],
    ],
  },
  {
    name: 'a one-phase commit that stalls',
    script: { commitOnePhase: ['hang', 'throw', GARBAGE] },
    counts: { failedAttempts: 3, timeouts: 1 },
    incidents: [
      ['attempt-timed-out', 0, 1, `${LATE} commitOnePhase within 200 ms`],
      ['attempt-failed', 0, 2, FAILURE],
      ['attempt-failed', 0, 3, NO_ANSWER],
      ['stalled', 0, 3, NO_ANSWER],
    ],
  },
  {
    name: 'a one-phase commit with a heuristic report',
    script: { commitOnePhase: ['throw', { heuristic: 'mixed' }] },
    counts: { failedAttempts: 1, heuristicReports: 1 },
    incidents: [
      ['attempt-failed', 0, 1, FAILURE],
      ['heuristic', 0, 2, 'mixed: scripted'],
    ],
  },
];

const NONE: ParticipantCounts = {
  commitVotes: 0,
  readOnlyVotes: 0,
  refusals: 0,
  failures: 0,
  timeouts: 0,
  lateAnswers: 0,
  lateFailures: 0,
  committed: 0,
  rolledBack: 0,
  failedAttempts: 0,
  heuristicReports: 0,
};

async function runCase({ script, other }: Case) {
  const coordinator = createTestCoordinator({
    prepareTimeoutMs: 200,
    completionTimeoutMs: 300,
    maxAttempts: 3,
  });
  const { participants, transactions, clock, runtime, recover } = coordinator;
  participants.register(new ScriptedParticipant(script, clock), { name: 'one' });
  participants.register(new ScriptedParticipant(other, clock), { name: 'other' });
  const branches = [branch('one', 1), ...(other === undefined ? [] : [branch('other', 1)])];
  const outcome = transactions.run({ branches });
  await clock.advance(10_000);
  const { transactionId } = await outcome;
  const record = runtime.registry.find(transactionId)!;
  const incidents = (record.extras?.incidents ?? []).map(
    ({ type, branch: index, attempt, message }): Noted => [type, index, attempt, message],
  );
  return { counts: { ...participants.get('one').counts }, incidents, record, recover, participants };
}

describe('An event at a participant', () => {
  it.each(CASES)('is counted and noted: $name', async (one) => {
    const { counts, incidents, record } = await runCase(one);
    expect(counts).toEqual({ ...NONE, ...one.counts });
    expect(incidents).toEqual(one.incidents ?? []);
    expect(record.endedAt === 0).toBe(record.isStalled);
  });

  it.each([
    ['commitOnePhase', 'yes'],
    ['commitOnePhase', { heuristic: 'mixed' }],
    ['commit', { heuristic: 'mixed' }],
  ] as const)('is counted once: a late answer to %s (%j) after another answer', async (method, late) => {
    const gate = Promise.withResolvers<void>();
    const script = { [method]: [{ until: gate.promise, then: late }, { answer: 'commit' }] };
    const { participants, record } = await runCase({
      name: 'late',
      script,
      ...(method === 'commit' && { other: YES }),
      counts: {},
    });
    expect(record.stateName).toBe('COMMITTED');
    gate.resolve();
    await settled();

    expect(participants.get('one').counts).toMatchObject({ committed: 1, heuristicReports: 0 });
    expect(record.hasHeuristics).toBe(false);
  });

  it('leaves no payload in memory after the end', async () => {
    for (const script of [YES, { prepare: 'no' }] as const) {
      const { record } = await runCase({ name: 'over', script, other: YES, counts: {} });
      expect(record.branches.map(({ payload }) => payload)).toEqual([undefined, undefined]);
    }
  });

  it('is noted with its time, in microseconds since the start', async () => {
    const { record } = await runCase({
      name: 'late',
      script: { commit: ['hang', 'yes'] },
      other: YES,
      counts: {},
    });
    expect(record.extras!.incidents.map(({ atUs }) => atUs)).toEqual([300_000]);
  });
});
