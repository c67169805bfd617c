import {
  type BranchRequest,
  CoordinatorError,
  type Outcome,
  type Transaction,
  branch,
} from '../../src/coordinator/index.js';
import { outcomeInWords } from '../golden/narrator.js';
import type { Transfer } from './account.js';
import type { CoordinatorProcess } from './process.js';
import type { World } from './world.js';

/** How a caller that drives its transaction step by step brings it to its end. */
const ENDINGS = [
  'commit',
  'commit',
  'commit',
  'roll back',
  'rule commit out',
  'commit and roll back',
  'roll back and commit',
  'commit and enlist',
  'leave',
] as const;

/** So much that one member may take the money that the next one needs. */
const MOST_OF_A_MEMBER = 120;

/** In worlds with groups this share of the callers cancels within milliseconds. */
const SOON_SHARE = 0.1;

/** So few, that requests come again. */
const KEYS = 4;

/** One caller with one transaction. It lives in the process of its coordinator, and dies with it. */
export class Client {
  constructor(
    private readonly world: World,
    private readonly process: CoordinatorProcess,
  ) {}

  start(): void {
    const { random, faults } = this.world;
    const { grouping } = this.world;
    if (faults.isCalm || random.chance(grouping === undefined ? 0.7 : 0.9)) this.run();
    else this.begin();
  }

  private run(): void {
    const { faults, grouping, random } = this.world;
    // The work of a group takes little time: some cancel while it is under way.
    const cancelsSoon = grouping !== undefined && !faults.isCalm && random.chance(SOON_SHARE);
    const cancels = faults.strikes('caller cancels');
    const signal = cancels || cancelsSoon ? this.signal(cancels ? 60 : 25) : undefined;
    this.listen(
      this.process.transactions!.run({
        branches: this.branches(),
        ...this.limits(),
        ...this.turns(),
        ...this.key(),
        ...(signal !== undefined && { signal }),
      }),
      true,
    );
  }

  private begin(): void {
    const signal = this.world.faults.strikes('caller cancels') ? this.signal() : undefined;
    const { transactions } = this.process;
    const handle = this.orRefused(() =>
      transactions!.begin({ ...this.limits(), ...this.turns(), ...(signal !== undefined && { signal }) }),
    );
    if (handle === undefined) return;
    let delayMs = 0;
    for (const request of this.branches()) {
      delayMs += this.thinkMs();
      this.process.after(delayMs, () => {
        const enlisted = this.orRefused(() => handle.enlist(request));
        // Half a transfer is none.
        if (enlisted === undefined) handle.setRollbackOnly('a branch was refused');
      });
    }
    this.process.after(delayMs + this.thinkMs(), () => this.end(handle));
  }

  private end(handle: Transaction): void {
    const { random } = this.world;
    const ending = random.pick(ENDINGS);
    if (this.world.transcript.isOn) this.say(`asks ${handle.id} to ${ending}`);
    const commit = (): void => this.listen(handle.commit());
    const rollBack = (): void => this.listen(handle.rollback('changed its mind'));
    const later = random.next() * random.next() * 50;
    switch (ending) {
      case 'commit':
        return commit();
      case 'roll back':
        return rollBack();
      case 'rule commit out':
        handle.setRollbackOnly('not this time');
        return commit();
      case 'commit and roll back':
        commit();
        return this.process.after(later, rollBack);
      case 'roll back and commit':
        rollBack();
        return this.process.after(later, commit);
      case 'commit and enlist':
        commit();
        return this.process.after(later, () => void this.orRefused(() => handle.enlist(this.branches()[0]!)));
      case 'leave':
        return undefined;
    }
  }

  /** One side pays what the others get; some only look. */
  private branches(): BranchRequest[] {
    const { random, participants, faults } = this.world;
    const places = [...participants];
    for (let last = places.length - 1; last > 0; last--) {
      const other = random.whole(0, last);
      [places[last], places[other]] = [places[other]!, places[last]!];
    }
    const { grouping } = this.world;
    // Only those that have their participants in common are grouped.
    if (grouping === undefined || random.chance(0.2)) places.length = random.whole(1, places.length);
    const last = participants.find(({ traits }) => traits.lastResource !== undefined);
    if (last !== undefined && !places.includes(last) && random.chance(0.4)) places.push(last);
    // A second branch at a participant that has one already.
    if (!faults.isCalm && random.chance(0.1)) places.push(places[0]!);
    const writers = places.map(() => random.chance(0.85));
    const count = writers.filter(Boolean).length;
    const amount = count < 2 ? 0 : random.whole(1, grouping === undefined ? 10 : MOST_OF_A_MEMBER);
    let payer = true;
    return places.map(({ name }, index): BranchRequest => {
      const transfer: Transfer = { amount: 0, readOnly: !writers[index]! };
      if (!writers[index]!) return branch(name, transfer);
      const share = payer ? -amount * (count - 1) : amount;
      payer = false;
      return branch(name, { ...transfer, amount: share });
    });
  }

  /**
   * Where members share a log, some requests come again, perhaps at another member; and some take the key of
   * others.
   */
  private key(): { key?: string; fingerprint?: string } {
    const { random, settings } = this.world;
    if (settings.members === 0 || !random.chance(0.4)) return {};
    return { key: `k${random.whole(1, KEYS)}`, fingerprint: random.chance(0.95) ? 'same' : 'other' };
  }

  /** A tenth of the transactions prepare in turn. */
  private turns(): { prepareInTurn: boolean } {
    return { prepareInTurn: this.world.random.chance(0.1) };
  }

  private limits(): { timeoutMs?: number } {
    const { random, faults } = this.world;
    return faults.isCalm || random.chance(0.7) ? {} : { timeoutMs: random.whole(5, 3_000) };
  }

  private signal(withinMs = 60): AbortSignal {
    const controller = new AbortController();
    const delayMs = this.world.random.next() * withinMs;
    if (delayMs < 2) controller.abort(new Error('before the start'));
    else this.process.after(delayMs, () => controller.abort(new Error('no longer wanted')));
    return controller.signal;
  }

  private thinkMs(): number {
    const { random } = this.world;
    return random.next() * random.next() * 100;
  }

  /** @param isNew whether the transaction is begun by the same call. */
  private listen(outcome: Promise<Outcome>, isNew = false): void {
    const { process } = this;
    const isRefusalDue = process.runtime?.log.isBroken === true && isNew;
    process.waiting++;
    void outcome.then(
      (told) => {
        if (!process.isAlive) return;
        process.waiting--;
        if (this.world.transcript.isOn) this.say(`hears of ${told.transactionId}: ${outcomeInWords(told)}`);
        const { judge, faults } = this.world;
        if (told.repeated === true) {
          judge.repeated(process.label, told);
          return;
        }
        judge.told(told);
        if (isRefusalDue) judge.violate(`${told.transactionId}: it is begun while the log is broken`);
        if (faults.isCalm) judge.toldInCalm(told);
      },
      (error: unknown) => {
        if (!process.isAlive) return;
        process.waiting--;
        this.refused(error);
      },
    );
  }

  private orRefused<T>(action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      this.refused(error);
      return undefined;
    }
  }

  private refused(error: unknown): void {
    if (error instanceof CoordinatorError) this.world.witnesses.count(`refused: ${error.code}`);
    else
      this.world.judge.violate(`a caller gets an error that is none of the coordinator's: ${String(error)}`);
  }

  private say(what: string): void {
    this.world.say(this.process.label, `caller ${what}`);
  }
}
