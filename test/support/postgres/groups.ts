import type { QueryConfig } from 'pg';
import type { GroupBranch, MemberVote, Vote } from '../../../src/coordinator/index.js';
import { gidOf } from '../../../src/postgres/gid.js';
import type { Batch, PostgresResourceManager } from '../../../src/postgres/index.js';
import { type TestBranch, again, someBranch } from './branches.js';

/** The work of a member, as a participant would give it. */
export type Member = () => Batch;

const ADD = 'UPDATE accounts SET balance = balance + $2 WHERE name = $1';

export function work(statements: readonly QueryConfig[], vote: Batch['vote'] = () => 'commit'): Member {
  return () => ({ statements, vote });
}

/** Puts money into an account, and refuses if there is none of this name. */
export function add(account: string, amount: number): Member {
  return work([{ text: ADD, values: [account, amount] }], ([result]) =>
    result?.rowCount === 1 ? 'commit' : { vote: 'abort', code: 'NO_ACCOUNT', reason: account },
  );
}

/** Work that only runs one statement. The name lets the session prepare it at once. */
export function does(text: string, ...values: unknown[]): Member {
  return work([{ text, values, name: 'named' }]);
}

/** A group, which the test runs and ends as the coordinator would. */
export class TestGroup {
  readonly branch: TestBranch<null>;
  private deadline: number;
  private attempt = 0;
  private readonly ids = new Map<Member, string>();

  constructor(
    private readonly manager: PostgresResourceManager,
    private readonly given: {
      readonly withinMs?: number;
      readonly workMs?: number;
      readonly waits?: boolean;
    } = {},
  ) {
    const { withinMs } = given;
    this.branch = someBranch({ payload: null, ...(withinMs !== undefined && { withinMs }) });
    this.deadline = this.branch.deadline;
  }

  get gid(): string {
    return gidOf(this.branch, this.manager.participant);
  }

  /** The next run may take this long. */
  endsIn(ms: number): void {
    this.deadline = Date.now() + ms;
  }

  /**
   * Each member has an id of its own, the same in each run.
   *
   * @throws Error `busy` while another group works.
   */
  async run(...members: readonly Member[]): Promise<readonly MemberVote[]> {
    return this.tried(members, []);
  }

  /** @param trials are only tried behind the members. */
  async tried(members: readonly Member[], trials: readonly Member[]): Promise<readonly MemberVote[]> {
    this.attempt++;
    const given = (each: Member): { id: string; batchOf: Member } => ({ id: this.idOf(each), batchOf: each });
    const votes = await this.manager.runGroup(this.group, members.map(given), trials.map(given));
    if (votes === 'busy') throw new Error('busy');
    return votes;
  }

  discard(): Promise<void> {
    return this.manager.discardGroup(this.group);
  }

  /** @returns the vote; undefined if no group of this id is known. */
  async prepare(): Promise<Vote | undefined> {
    return this.manager.prepareGroup(again(this.branch, 0));
  }

  commit(): Promise<void> {
    return this.manager.commit(again(this.branch));
  }

  rollback(): Promise<void> {
    return this.manager.rollback(again(this.branch));
  }

  private idOf(member: Member): string {
    if (!this.ids.has(member)) this.ids.set(member, String(this.ids.size));
    return this.ids.get(member)!;
  }

  private get group(): GroupBranch {
    const { transactionId, branchId, signal, run } = this.branch;
    const { deadline } = this;
    const { workMs, waits = false } = this.given;
    const limit = workMs === undefined ? {} : { workDeadline: Date.now() + workMs };
    return { transactionId, branchId, deadline, signal, run, attempt: this.attempt, waits, ...limit };
  }
}
