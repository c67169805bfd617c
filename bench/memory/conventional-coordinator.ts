import { randomUUID } from 'node:crypto';
import { EventEmitter2 } from '@nestjs/event-emitter';
import type { Logger } from 'pino';
import type { Branch, TransactionParticipant } from '../../src/coordinator/index.js';
import { runOf } from '../../test/support/identity.js';

const RUN = runOf();

type Phase = 'preparing' | 'committing' | 'committed' | 'aborting' | 'aborted';

interface ConventionalTransaction {
  readonly id: string;
  readonly name: string;
  readonly startedAt: Date;
  phase: Phase;
}

interface ConventionalBranch {
  readonly participant: string;
  readonly payload: unknown;
}

export interface ConventionalOutcome {
  readonly status: 'committed' | 'aborted' | 'pending';
  readonly transactionId: string;
  readonly reason?: string;
}

const PREPARE_TIMEOUT_MS = 2_000;
const COMPLETION_TIMEOUT_MS = 2_000;
const MAX_ATTEMPTS = 5;
const RETRY_BASE_MS = 50;

/**
 * Two-phase commit as teams usually write it for Node. It is correct as far as it goes: a timer, an abort
 * controller and a race for each call, a UUID and a map of the transactions in flight, an event and a log
 * line for each phase.
 */
export class ConventionalCoordinator {
  readonly events = new EventEmitter2({ wildcard: true });
  private readonly inFlight = new Map<string, ConventionalTransaction>();

  constructor(
    private readonly participants: ReadonlyMap<string, TransactionParticipant>,
    private readonly logger: Logger,
  ) {}

  async execute(name: string, branches: readonly ConventionalBranch[]): Promise<ConventionalOutcome> {
    const transaction: ConventionalTransaction = {
      id: randomUUID(),
      name,
      startedAt: new Date(),
      phase: 'preparing',
    };
    this.inFlight.set(transaction.id, transaction);
    try {
      this.enter(transaction, 'preparing');
      const reason = await this.prepareAll(transaction, branches);
      if (reason !== undefined) {
        this.enter(transaction, 'aborting');
        await this.completeAll(transaction, branches, 'rollback');
        this.enter(transaction, 'aborted');
        return { status: 'aborted', transactionId: transaction.id, reason };
      }
      this.enter(transaction, 'committing');
      const complete = await this.completeAll(transaction, branches, 'commit');
      if (!complete) return { status: 'pending', transactionId: transaction.id };
      this.enter(transaction, 'committed');
      return { status: 'committed', transactionId: transaction.id };
    } finally {
      this.inFlight.delete(transaction.id);
    }
  }

  /** @returns why the transaction must be aborted, or undefined when every participant voted commit. */
  private async prepareAll(
    transaction: ConventionalTransaction,
    branches: readonly ConventionalBranch[],
  ): Promise<string | undefined> {
    try {
      const votes = await Promise.all(
        branches.map((branch) => this.call(transaction, branch, 'prepare', 0, PREPARE_TIMEOUT_MS)),
      );
      return votes.every((vote) => vote === 'commit') ? undefined : 'a participant did not vote commit';
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** @returns whether every branch acknowledged. */
  private async completeAll(
    transaction: ConventionalTransaction,
    branches: readonly ConventionalBranch[],
    method: 'commit' | 'rollback',
  ): Promise<boolean> {
    const completed = await Promise.all(
      branches.map((branch) => this.completeOne(transaction, branch, method)),
    );
    return completed.every(Boolean);
  }

  private async completeOne(
    transaction: ConventionalTransaction,
    branch: ConventionalBranch,
    method: 'commit' | 'rollback',
  ): Promise<boolean> {
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      try {
        await this.call(transaction, branch, method, attempt, COMPLETION_TIMEOUT_MS);
        return true;
      } catch (error) {
        const { id: transactionId } = transaction;
        this.logger.warn(
          { transactionId, participant: branch.participant, attempt, error },
          `${method} failed`,
        );
        await new Promise((resolve) => setTimeout(resolve, RETRY_BASE_MS * 2 ** (attempt - 1)));
      }
    }
    return false;
  }

  private async call(
    transaction: ConventionalTransaction,
    { participant: name, payload }: ConventionalBranch,
    method: 'prepare' | 'commit' | 'rollback',
    attempt: number,
    timeoutMs: number,
  ): Promise<unknown> {
    const participant = this.participants.get(name);
    if (participant === undefined) throw new Error(`No participant is called ${name}`);
    const controller = new AbortController();
    const branch: Branch = {
      transactionId: transaction.id,
      branchId: name,
      payload,
      deadline: Date.now() + timeoutMs,
      signal: controller.signal,
      attempt,
      run: RUN,
    };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        const error = new Error(`${name} did not answer ${method} within ${timeoutMs} ms`);
        controller.abort(error);
        reject(error);
      }, timeoutMs);
    });
    try {
      return await Promise.race([participant[method](branch), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  private enter(transaction: ConventionalTransaction, phase: Phase): void {
    transaction.phase = phase;
    const { id: transactionId, name } = transaction;
    this.events.emit(`transaction.${phase}`, { transactionId, name });
    this.logger.info({ transactionId, name, phase }, `transaction ${phase}`);
  }
}
