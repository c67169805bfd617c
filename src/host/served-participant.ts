import {
  type Branch,
  type CoordinatorRun,
  type IsOwnRun,
  type OnePhaseAnswer,
  type PreparedBranch,
  type TransactionParticipant,
  type Vote,
  refuse,
} from '../coordinator/participant/participant.js';
import {
  ReplicaGuard,
  type ReplicaGuardOptions,
  type ReplicaGuardStore,
  TransactionOverError,
} from '../coordinator/guard/index.js';
import { MAX_LISTED, keyOfListed } from '../remote/wire/index.js';

/** One participant of this host, safe for messages that are lost, repeated, late and overtaken. */
export interface ServedParticipant {
  readonly name: string;
  readonly durable: boolean;
  /** Whether a commit needs only what prepare has stored. */
  readonly commitsWithoutPayload: boolean;
  prepare(branch: Branch): Promise<Vote>;
  commit(branch: Branch): Promise<void>;
  rollback(branch: Branch): Promise<void>;
  commitOnePhase(branch: Branch): Promise<OnePhaseAnswer>;
  claim(run: CoordinatorRun, isOwnRun: IsOwnRun): Promise<void>;
  /** @returns one more than a page at most, in the order of the keys. */
  list(run: CoordinatorRun | undefined, after: string | undefined): Promise<readonly PreparedBranch[]>;
}

/** @param options as those of the guard. A participant that guards itself does not need them. */
export function serve(
  name: string,
  instance: TransactionParticipant,
  store: ReplicaGuardStore,
  options: ReplicaGuardOptions,
): ServedParticipant {
  return instance.guardsItself === true &&
    instance.commitOnePhase !== undefined &&
    instance.recover !== undefined
    ? new SelfGuarded(name, instance, store)
    : new Guarded(name, instance, store, options);
}

/** A participant whose calls pass through the guard of the host. */
class Guarded implements ServedParticipant {
  readonly durable: boolean;
  readonly commitsWithoutPayload = false;
  private readonly guard: ReplicaGuard;

  constructor(
    readonly name: string,
    private readonly instance: TransactionParticipant,
    private readonly store: ReplicaGuardStore,
    options: ReplicaGuardOptions,
  ) {
    this.durable = store.durable;
    this.guard = new ReplicaGuard(name, store, options);
  }

  prepare(branch: Branch): Promise<Vote> {
    return this.guard.prepare(
      branch,
      (stoppable) => this.instance.prepare(stoppable),
      () => this.instance.rollback(branch),
    );
  }

  commit(branch: Branch): Promise<void> {
    return this.guard.commit(branch, () => this.instance.commit(branch));
  }

  rollback(branch: Branch): Promise<void> {
    return this.guard.rollback(branch, () => this.instance.rollback(branch));
  }

  commitOnePhase(branch: Branch): Promise<OnePhaseAnswer> {
    return this.guard.commitOnePhase(branch, {
      prepare: () => this.instance.prepare(branch),
      commit: () => this.instance.commit(branch),
      rollback: () => this.instance.rollback(branch),
    });
  }

  async claim(run: CoordinatorRun, isOwnRun: IsOwnRun): Promise<void> {
    await this.guard.admit({ run });
    await this.instance.claim?.(run, isOwnRun);
  }

  list(_run: CoordinatorRun | undefined, after: string | undefined): Promise<readonly PreparedBranch[]> {
    return this.store.listOpen(this.name, after, MAX_LISTED + 1);
  }
}

/** A participant that keeps its own records, in one transaction with its work. */
class SelfGuarded implements ServedParticipant {
  readonly durable: boolean;
  readonly commitsWithoutPayload = true;

  constructor(
    readonly name: string,
    private readonly instance: TransactionParticipant,
    private readonly store: ReplicaGuardStore,
  ) {
    this.durable = instance.preparesDurably ?? true;
  }

  async prepare(branch: Branch): Promise<Vote> {
    return (await this.refusalOf(branch)) ?? this.instance.prepare(branch);
  }

  async commit(branch: Branch): Promise<void> {
    await this.instance.commit(branch);
  }

  async rollback(branch: Branch): Promise<void> {
    await this.instance.rollback(branch);
  }

  async commitOnePhase(branch: Branch): Promise<OnePhaseAnswer> {
    const refusal = await this.refusalOf(branch);
    if (refusal === undefined) return this.instance.commitOnePhase!(branch);
    // An earlier attempt may have committed, and its record may be dropped: nothing is known, and nothing is
    // done.
    if (branch.attempt > 1) throw new TransactionOverError(branch);
    return refusal;
  }

  async claim(run: CoordinatorRun, isOwnRun: IsOwnRun): Promise<void> {
    await this.instance.claim?.(run, isOwnRun);
  }

  async list(run: CoordinatorRun | undefined, after: string | undefined): Promise<readonly PreparedBranch[]> {
    const all = await this.instance.recover!(run);
    return all
      .map((branch) => ({ key: keyOfListed(branch), branch }))
      .filter(({ key }) => after === undefined || key > after)
      .toSorted((a, b) => (a.key < b.key ? -1 : 1))
      .slice(0, MAX_LISTED + 1)
      .map(({ branch }) => branch);
  }

  private async refusalOf({ transactionId }: Branch): Promise<ReturnType<typeof refuse> | undefined> {
    return (await this.store.isOver(transactionId))
      ? refuse('TRANSACTION_OVER', 'the transaction of this branch is over')
      : undefined;
  }
}
