import type { ClientBase, QueryResult } from 'pg';
import type { OnePhaseAnswer, Vote } from '../../../src/coordinator/index.js';
import type { PostgresResourceManager, Work } from '../../../src/postgres/index.js';
import { type TestBranch, again, someBranch } from './branches.js';

/** The way to ask for the work of a branch: in two phases, or in one. */
export const FORMS = ['prepare', 'one phase'] as const;
export type Form = (typeof FORMS)[number];

/** A branch whose work a test does step by step. */
export interface Steps {
  readonly branch: TestBranch;
  readonly client: ClientBase;
  /** A statement of the work. Its error is thrown by the work. @returns its rows; none when it has failed. */
  readonly run: (sql: string) => Promise<QueryResult['rows']>;
  /**
   * The work throws.
   *
   * @returns the answer of the branch.
   */
  readonly fail: (error: unknown) => Promise<Vote | OnePhaseAnswer>;
  /**
   * The work votes, unless it has thrown.
   *
   * @returns the answer of the branch.
   */
  readonly vote: (vote: Vote) => Promise<Vote | OnePhaseAnswer>;
}

/** Begins a branch. @returns when its work may do statements. */
export async function openSteps(manager: PostgresResourceManager, form: Form = 'prepare'): Promise<Steps> {
  const branch = someBranch(form === 'prepare' ? {} : { attempt: 1 });
  const opened = Promise.withResolvers<ClientBase>();
  const voted = Promise.withResolvers<Vote>();
  const work: Work<unknown> = (lent) => {
    opened.resolve(lent);
    return voted.promise;
  };
  const answer: Promise<Vote | OnePhaseAnswer> =
    form === 'prepare' ? manager.prepare(branch, work) : manager.commitOnePhase(branch, work);
  answer.catch(opened.reject);
  const client = await opened.promise;
  return {
    branch,
    client,
    run: async (sql) => {
      try {
        return (await client.query(sql)).rows;
      } catch (error) {
        voted.reject(error);
        return [];
      }
    },
    fail: (error) => {
      voted.reject(error);
      return answer;
    },
    vote: (vote) => {
      voted.resolve(vote);
      return answer;
    },
  };
}

/**
 * The work votes `commit`, and the prepared branch is committed.
 *
 * @returns the answer of the branch.
 */
export async function commitSteps(
  manager: PostgresResourceManager,
  { branch, vote }: Steps,
): Promise<Vote | OnePhaseAnswer> {
  const answer = await vote('commit');
  if (answer === 'commit' && branch.attempt === 0) await manager.commit(again(branch));
  return answer;
}
