import { type Branch, type CoordinatorRun, branchKey } from '../../src/coordinator/index.js';
import type { GroupBranch, GroupMember } from '../../src/coordinator/participant/group.js';
import type { Transfer } from './account.js';

export const METHODS = [
  'prepare',
  'commit',
  'rollback',
  'commitOnePhase',
  'commitLast',
  'inquire',
  'recover',
  'runGroup',
  'rerunGroup',
  'discardGroup',
] as const;
export type Method = (typeof METHODS)[number];

export const METHOD_IN_WORDS: Record<Method, string> = {
  prepare: 'prepare',
  commit: 'commit',
  rollback: 'roll back',
  commitOnePhase: 'commit in one phase',
  commitLast: 'commit as the last',
  inquire: 'say how it has ended',
  recover: 'list its branches',
  runGroup: 'do the work of the group',
  rerunGroup: 'change the work of the group',
  discardGroup: 'discard the work of the group',
};

/** A signal without an owner: an abort on one side of the network is not seen on the other. */
const UNHEARD = new AbortController().signal;

/** The message for a member of a group. */
export interface MemberMessage {
  readonly transactionId: string;
  readonly branchId: string;
  readonly key: string;
  readonly transfer: Transfer;
}

/** The message for a branch: a copy made when it was sent. That of a group has no payload. */
export class Message implements Branch<Transfer | null> {
  readonly transactionId: string;
  readonly branchId: string;
  readonly payload: Transfer | null;
  readonly deadline: number;
  readonly attempt: number;
  readonly run: CoordinatorRun;
  readonly key: string;
  readonly members: readonly MemberMessage[];
  readonly trials: readonly MemberMessage[];

  constructor(branch: SentBranch, members: readonly GroupMember[] = [], trials: readonly GroupMember[] = []) {
    this.transactionId = branch.transactionId;
    this.branchId = branch.branchId;
    this.payload = (branch.payload ?? null) as Transfer | null;
    this.deadline = branch.deadline;
    this.attempt = branch.attempt;
    this.run = branch.run;
    this.key = branchKey(branch);
    this.members = members.map(messageOf);
    this.trials = trials.map(messageOf);
  }

  get signal(): AbortSignal {
    return UNHEARD;
  }
}

function messageOf({ transactionId, branchId, payload }: GroupMember): MemberMessage {
  const key = branchKey({ transactionId, branchId });
  return { transactionId, branchId, key, transfer: payload as Transfer };
}

/** A branch of a transaction or of a group. */
export type SentBranch = GroupBranch & Partial<Pick<Branch, 'payload'>>;

/** One call as it reaches a participant, with the way back. */
export interface Call {
  readonly method: Method;
  /** Of every method but recover. */
  readonly message: Message | undefined;
  /** How long its caller waits, in milliseconds. */
  readonly timeoutMs: number;
  /** Whether the process is there that has sent it. */
  readonly isConnected: () => boolean;
  answer(value: unknown): void;
  fail(error: unknown): void;
  /** The connection is gone; whether the caller notices is up to the network. */
  broken(): void;
}
