import type { QueryResult } from 'pg';
import type { MemberVote } from '../../coordinator/participant/group.js';
import type { Batch } from '../branch/batch.js';
import { OWN_MARK } from '../connection/own-names.js';
import type { GroupAnswer } from './group-query.js';
import type { SentWork } from './grouped-work.js';

/** The work of all members comes after it, so that it can be undone and the transaction stays. */
export const START = `dtc_${OWN_MARK}_group`;

/** The work of each trial comes after it. */
const TRIAL = `dtc_${OWN_MARK}_trial`;

/** The work of a member that votes read-only comes after it. */
const READER = `dtc_${OWN_MARK}_reader`;

/**
 * The number of members whose work is one query behind a savepoint: if one of them fails or leaves, at most
 * this much work before it runs again.
 */
const MEMBERS_OF_PART = 16;

/** A server remembers 64 savepoints of a transaction cheaply, and a group runs four times at most. */
const MOST_PARTS = 15;

/** A member whose work can be sent. */
export interface Sent {
  /** The id of its own transaction. */
  readonly id: string;
  /** Its place among all members of the run. */
  readonly index: number;
  readonly signature: string;
  readonly batch: Batch;
  readonly work: SentWork;
  /** Such work has voted read-only before, so its writes are undone at once. */
  readonly isReader: boolean;
}

/** A member whose work is open. */
export interface Opened {
  readonly id: string;
  readonly vote: MemberVote;
}

/** A savepoint, and how many of the members whose work is open come before it. */
export interface Savepoint {
  readonly name: string;
  readonly before: number;
}

/** The statements that are sent as one query. */
export interface Part {
  /** The savepoint that it makes before its work. */
  readonly savepoint?: string;
  readonly statements: readonly string[];
  readonly members: readonly Sent[];
  /** Whether the session is reset behind each member, which then also shows that it is done. */
  readonly isMarked: boolean;
  /** Where in the statements the work of each member begins. */
  readonly at: readonly number[];
}

/** As {@link GroupAnswer}, with the results of each member. */
export interface PartAnswer extends Omit<GroupAnswer, 'results'> {
  readonly results?: readonly (readonly QueryResult[])[];
}

/**
 * Divides the work of the members into parts, each behind a savepoint of its own.
 *
 * @param beginning comes before the work of the first part, and behind its savepoint. If it opens the transaction, it ends with a
 * savepoint, and the part needs no other one.
 * @param needsSavepoint whether the first part makes a savepoint of its own: the transaction is at none.
 * @param after comes behind the work of each member; nothing does if it is empty.
 * @param nextName gives the name of another savepoint.
 */
export function partsOf(
  members: readonly Sent[],
  beginning: readonly string[],
  needsSavepoint: boolean,
  after: readonly string[],
  nextName: () => string,
): Part[] {
  const size = Math.max(MEMBERS_OF_PART, Math.ceil(members.length / MOST_PARTS));
  const parts: Part[] = [];
  for (let from = 0; from < members.length; from += size) {
    const present = members.slice(from, from + size);
    const first = from === 0 ? beginning : [];
    if (from === 0 && !needsSavepoint) parts.push(partOf(first, present, after));
    else {
      // It comes before all others: each of them may fail, and the group goes back to it then. Outside of a transaction it is an
      // error, and nothing behind it runs.
      const savepoint = nextName();
      parts.push({ ...partOf([`SAVEPOINT ${savepoint}`, ...first], present, after), savepoint });
    }
  }
  return parts;
}

/** The work of some that are only tried, each undone before the next, and what undoes the last. */
export function trialsOf(members: readonly Sent[], after: readonly string[]): Part[] {
  if (members.length === 0) return [];
  return [
    ...members.map((member, index) =>
      partOf([index === 0 ? `SAVEPOINT ${TRIAL}` : `ROLLBACK TO ${TRIAL}`], [member], after),
    ),
    partOf([`ROLLBACK TO ${TRIAL}`, `RELEASE ${TRIAL}`], [], after),
  ];
}

function partOf(first: readonly string[], members: readonly Sent[], after: readonly string[]): Part {
  const statements = [...first];
  const at: number[] = [];
  for (const { work, isReader } of members) {
    if (isReader) statements.push(`SAVEPOINT ${READER}`);
    at.push(statements.length);
    statements.push(...work.statements, ...after);
    if (isReader) statements.push(`ROLLBACK TO ${READER}`, `RELEASE ${READER}`);
  }
  return { statements, members, isMarked: after.length > 0, at };
}

/** @returns the answer with the results of each member. @throws TypeError when they cannot be told apart. */
export function answerFor(
  { statements, members, at }: Part,
  { results, ...answer }: GroupAnswer,
): PartAnswer {
  if (results === undefined) return answer;
  if (results.length !== statements.length)
    throw new TypeError('A statement of a group has several results.');
  return {
    ...answer,
    results: members.map(({ work }, index) => results.slice(at[index], at[index]! + work.statements.length)),
  };
}
