import { type Branch, type CoordinatorRun, branchKey } from '../../src/coordinator/index.js';
import type { Transfer } from './account.js';

export const METHODS = ['prepare', 'commit', 'rollback', 'commitOnePhase', 'recover'] as const;
export type Method = (typeof METHODS)[number];

export const METHOD_IN_WORDS: Record<Method, string> = {
  prepare: 'prepare',
  commit: 'commit',
  rollback: 'roll back',
  commitOnePhase: 'commit in one phase',
  recover: 'list its branches',
};

/** A signal without an owner: an abort on one side of the network is not seen on the other. */
const UNHEARD = new AbortController().signal;

/** What travels of a branch: a copy made when it was sent. */
export class Message implements Branch<Transfer> {
  readonly transactionId: string;
  readonly branchId: string;
  readonly payload: Transfer;
  readonly deadline: number;
  readonly attempt: number;
  readonly run: CoordinatorRun;
  readonly key: string;

  constructor(branch: Branch) {
    this.transactionId = branch.transactionId;
    this.branchId = branch.branchId;
    this.payload = branch.payload as Transfer;
    this.deadline = branch.deadline;
    this.attempt = branch.attempt;
    this.run = branch.run;
    this.key = branchKey(branch);
  }

  get signal(): AbortSignal {
    return UNHEARD;
  }
}

/** One call as it reaches a participant, with the way back. */
export interface Call {
  readonly method: Method;
  /** Of every method but recover. */
  readonly message: Message | undefined;
  /** How long its caller waits, in milliseconds. */
  readonly timeoutMs: number;
  answer(value: unknown): void;
  fail(error: unknown): void;
  /** The connection is gone; whether the caller notices is up to the network. */
  broken(): void;
}
