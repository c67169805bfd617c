import * as fc from 'fast-check';
import { expect } from 'vitest';
import {
  type Branch,
  NotActiveError,
  type Transaction,
  type TransactionState,
  branch,
} from '../../src/coordinator/index.js';
import { type TestCoordinator, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';
import { type Told, listenTo } from '../faults/told.js';

const TIMEOUT_MS = 1_000;
const PREPARE_TIMEOUT_MS = 400;
const COMPLETION_WAIT_MS = 600;
/** The clock moves in steps of this, which is longer than any pause between two attempts. */
const STEP_MS = 100;
const MAX_BRANCHES = 4;

/** The knowledge of the model about one branch. */
interface BranchModel {
  /** Whether prepare was sent and not answered. */
  isAsked: boolean;
  vote: 'none' | 'commit' | 'read-only' | 'abort';
  completion: 'none' | 'in flight' | 'waiting' | 'done';
}

/** The transaction as a reader of the documentation would expect it to be. */
export interface Model {
  state: Exclude<TransactionState, 'READY'>;
  isRollbackOnly: boolean;
  now: number;
  preparingAt: number;
  decidedAt: number;
  told: { status: string; cause?: string } | undefined;
  readonly branches: BranchModel[];
}

export function newModel(): Model {
  return {
    state: 'ACTIVE',
    isRollbackOnly: false,
    now: 0,
    preparingAt: 0,
    decidedAt: 0,
    told: undefined,
    branches: [],
  };
}

/** A transaction over participants that the commands answer for. */
export class HandOperated {
  readonly coordinator: TestCoordinator;
  readonly transaction: Transaction;
  readonly branchIds: string[] = [];
  /** The answers to all requests for commit or rollback. */
  readonly answers: Told[] = [];
  /** The prepares in flight, and of each branch the latest attempt to complete it. */
  readonly prepares = new Map<string, PromiseWithResolvers<'commit'>>();
  readonly completions = new Map<string, { method: string; answer: PromiseWithResolvers<void> }>();

  constructor() {
    this.coordinator = createTestCoordinator({
      participants: {
        hand: {
          prepare: (one) => this.ask(one),
          commit: (one) => this.complete('commit', one),
          rollback: (one) => this.complete('rollback', one),
        },
      },
      timeoutMs: TIMEOUT_MS,
      prepareTimeoutMs: PREPARE_TIMEOUT_MS,
      completionTimeoutMs: 86_400_000,
      completionWaitMs: COMPLETION_WAIT_MS,
      retryBaseMs: 10,
      retryCapMs: STEP_MS / 2,
      maxAttempts: 1_000,
      maxBranches: MAX_BRANCHES,
      maxInFlight: 1,
      retainFinished: 1,
    });
    this.transaction = this.coordinator.transactions.begin();
  }

  private ask({ branchId }: Branch): Promise<'commit'> {
    const answer = Promise.withResolvers<'commit'>();
    this.prepares.set(branchId, answer);
    return answer.promise;
  }

  private complete(method: string, { branchId }: Branch): Promise<void> {
    const answer = Promise.withResolvers<void>();
    this.completions.set(branchId, { method, answer });
    return answer.promise;
  }
}

type Step = fc.AsyncCommand<Model, HandOperated>;

/** After each step the real transaction is as the model says, and so are all answers to callers. */
async function compare(model: Readonly<Model>, real: HandOperated): Promise<void> {
  await settled();
  expect(real.transaction.state).toBe(model.state);
  for (const { outcome } of real.answers) {
    if (model.told === undefined) expect(outcome).toBeUndefined();
    else expect(outcome).toMatchObject(model.told);
  }
  const { registry } = real.coordinator.runtime;
  expect(registry.inFlight).toBe(model.state === 'COMMITTED' || model.state === 'ABORTED' ? 0 : 1);
}

function tell(model: Model, told: NonNullable<Model['told']>): void {
  model.told ??= told;
}

function decideAbort(model: Model, cause: string): void {
  model.state = 'ABORTING';
  tell(model, { status: 'aborted', cause });
  for (const one of model.branches) {
    if (one.vote !== 'abort' && one.vote !== 'read-only') one.completion = 'in flight';
  }
  endWhenDone(model);
}

function endWhenDone(model: Model): void {
  if (model.branches.some(({ completion }) => completion === 'in flight' || completion === 'waiting')) return;
  if (model.state === 'ABORTING') model.state = 'ABORTED';
  if (model.state !== 'COMMITTING') return;
  model.state = 'COMMITTED';
  tell(model, { status: 'committed' });
}

function commitWhenAllVoted(model: Model): void {
  if (model.state !== 'PREPARING' || model.branches.some(({ isAsked }) => isAsked)) return;
  model.state = 'COMMITTING';
  model.decidedAt = model.now;
  for (const one of model.branches) if (one.vote === 'commit') one.completion = 'in flight';
  endWhenDone(model);
}

class Enlist implements Step {
  check(model: Readonly<Model>): boolean {
    return model.branches.length < MAX_BRANCHES;
  }

  async run(model: Model, real: HandOperated): Promise<void> {
    const enlist = () => real.transaction.enlist(branch('hand', model.branches.length));
    if (model.state === 'ACTIVE' && !model.isRollbackOnly) {
      real.branchIds.push(enlist());
      model.branches.push({ isAsked: false, vote: 'none', completion: 'none' });
    } else {
      expect(enlist).toThrow(NotActiveError);
    }
    await compare(model, real);
  }

  toString(): string {
    return 'enlist';
  }
}

class SetRollbackOnly implements Step {
  check(): boolean {
    return true;
  }

  async run(model: Model, real: HandOperated): Promise<void> {
    real.transaction.setRollbackOnly();
    if (model.state === 'ACTIVE') model.isRollbackOnly = true;
    expect(real.transaction.isRollbackOnly).toBe(model.isRollbackOnly);
    await compare(model, real);
  }

  toString(): string {
    return 'set rollback-only';
  }
}

class Commit implements Step {
  check(): boolean {
    return true;
  }

  async run(model: Model, real: HandOperated): Promise<void> {
    real.answers.push(listenTo(real.transaction.commit()));
    if (model.state === 'ACTIVE' && model.isRollbackOnly) {
      decideAbort(model, 'rollback-only');
    } else if (model.state === 'ACTIVE') {
      model.state = 'PREPARING';
      model.preparingAt = model.now;
      for (const one of model.branches) one.isAsked = true;
      commitWhenAllVoted(model);
    }
    await compare(model, real);
  }

  toString(): string {
    return 'commit';
  }
}

class Rollback implements Step {
  check(): boolean {
    return true;
  }

  async run(model: Model, real: HandOperated): Promise<void> {
    real.answers.push(listenTo(real.transaction.rollback()));
    if (model.state === 'ACTIVE' || model.state === 'PREPARING') decideAbort(model, 'rolled-back');
    await compare(model, real);
  }

  toString(): string {
    return 'rollback';
  }
}

class AnswerPrepare implements Step {
  constructor(
    private readonly index: number,
    private readonly answer: 'commit' | 'read-only' | 'abort' | 'throw',
  ) {}

  check({ branches }: Readonly<Model>): boolean {
    return branches[this.index]?.isAsked === true;
  }

  async run(model: Model, real: HandOperated): Promise<void> {
    const pending = real.prepares.get(real.branchIds[this.index]!)!;
    if (this.answer === 'throw') pending.reject(new Error('scripted'));
    else pending.resolve(this.answer as 'commit');
    const one = model.branches[this.index]!;
    one.isAsked = false;
    one.vote = this.answer === 'throw' ? 'none' : this.answer;
    if (model.state !== 'PREPARING') {
      // Too late: it changes nothing, but what may be held has to be rolled back once more.
      const holdsNothing = this.answer === 'abort' || this.answer === 'read-only';
      one.completion = holdsNothing ? 'done' : 'in flight';
      endWhenDone(model);
    } else if (this.answer === 'abort') decideAbort(model, 'refused');
    else if (this.answer === 'throw') decideAbort(model, 'failed');
    else commitWhenAllVoted(model);
    await compare(model, real);
  }

  toString(): string {
    return `branch ${this.index} answers prepare: ${this.answer}`;
  }
}

class AnswerCompletion implements Step {
  constructor(
    private readonly index: number,
    private readonly succeeds: boolean,
  ) {}

  check({ branches }: Readonly<Model>): boolean {
    return branches[this.index]?.completion === 'in flight';
  }

  async run(model: Model, real: HandOperated): Promise<void> {
    const { method, answer } = real.completions.get(real.branchIds[this.index]!)!;
    expect(method).toBe(model.state === 'COMMITTING' ? 'commit' : 'rollback');
    if (this.succeeds) answer.resolve();
    else answer.reject(new Error('scripted'));
    model.branches[this.index]!.completion = this.succeeds ? 'done' : 'waiting';
    endWhenDone(model);
    await compare(model, real);
  }

  toString(): string {
    return `branch ${this.index} ${this.succeeds ? 'completes' : 'fails to complete'}`;
  }
}

class Advance implements Step {
  constructor(private readonly steps: number) {}

  check(): boolean {
    return true;
  }

  async run(model: Model, real: HandOperated): Promise<void> {
    for (let step = 0; step < this.steps; step++) {
      await real.coordinator.clock.advance(STEP_MS, STEP_MS);
      model.now += STEP_MS;
      for (const one of model.branches) if (one.completion === 'waiting') one.completion = 'in flight';
      const dueAt = model.state === 'PREPARING' ? model.preparingAt + PREPARE_TIMEOUT_MS : TIMEOUT_MS;
      if (
        (model.state === 'ACTIVE' || model.state === 'PREPARING') &&
        model.now >= Math.min(dueAt, TIMEOUT_MS)
      ) {
        decideAbort(model, 'timed-out');
      } else if (model.state === 'COMMITTING' && model.now >= model.decidedAt + COMPLETION_WAIT_MS) {
        tell(model, { status: 'pending' });
      }
      await compare(model, real);
    }
  }

  toString(): string {
    return `${this.steps * STEP_MS} ms pass`;
  }
}

const index = fc.nat({ max: MAX_BRANCHES - 1 });
const isGood = fc.oneof(
  { weight: 3, arbitrary: fc.constant(true) },
  { weight: 1, arbitrary: fc.constant(false) },
);
const votes = fc.oneof(
  { weight: 4, arbitrary: fc.constant('commit' as const) },
  { weight: 3, arbitrary: fc.constantFrom('read-only' as const, 'abort' as const, 'throw' as const) },
);

/** Everything that can be done to a transaction. */
export const commands: fc.Arbitrary<Step>[] = [
  fc.constant(new Enlist()),
  fc.constant(new Enlist()),
  fc.constant(new SetRollbackOnly()),
  fc.constant(new Commit()),
  fc.constant(new Commit()),
  fc.constant(new Rollback()),
  fc.tuple(index, votes).map(([at, answer]) => new AnswerPrepare(at, answer)),
  fc.tuple(index, votes).map(([at, answer]) => new AnswerPrepare(at, answer)),
  fc.tuple(index, votes).map(([at, answer]) => new AnswerPrepare(at, answer)),
  fc.tuple(index, isGood).map(([at, succeeds]) => new AnswerCompletion(at, succeeds)),
  fc.tuple(index, isGood).map(([at, succeeds]) => new AnswerCompletion(at, succeeds)),
  fc.integer({ min: 1, max: 8 }).map((steps) => new Advance(steps)),
];
