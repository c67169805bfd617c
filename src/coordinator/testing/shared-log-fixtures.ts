import assert from 'node:assert/strict';
import type { DecisionLog, LogClaim } from '../log/decision-log.js';
import { type Adoption, type SharedDecisionLog, isSharedLog } from '../log/shared-log.js';
import { NAME, idIn } from './decision-log-fixtures.js';

// The members of a coordinator in the conformance suite.

/** One member of a coordinator: its handle on the log, and its claim. */
export interface TestMember {
  readonly log: SharedDecisionLog;
  readonly claim: LogClaim;
  /** The id of one of its transactions. */
  readonly id: (sequence: number) => string;
}

/** Starts members on one log, and closes all of them afterwards. */
export async function withMembers(
  create: () => DecisionLog,
  count: number,
  use: (...members: TestMember[]) => Promise<void>,
): Promise<void> {
  const members: TestMember[] = [];
  try {
    for (let number = 0; number < count; number++) members.push(await startMember(create));
    await use(...members);
  } finally {
    for (const { log } of members) await log.close();
  }
}

export async function startMember(create: () => DecisionLog): Promise<TestMember> {
  const log = create();
  assert.ok(isSharedLog(log), 'the log has no members');
  const claim = await log.open(NAME);
  return { log, claim, id: (sequence) => idIn(claim, sequence) };
}

/**
 * @returns the result of an adoption.
 * @throws AssertionError when another member has the epoch.
 */
export async function adopted({ log }: TestMember, { claim }: TestMember): Promise<Adoption> {
  const adoption = await log.members.adopt(claim.epoch);
  if (adoption === 'taken') assert.fail(`another member has adopted epoch ${claim.epoch}`);
  return adoption;
}

/** A write of a member that was fenced is refused with the code that says so. */
export async function refusedAsFenced(write: () => unknown): Promise<void> {
  await assert.rejects(async () => write(), { code: 'DTC_FENCED' });
}
