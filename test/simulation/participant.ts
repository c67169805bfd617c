import {
  type CoordinatorRun,
  HeuristicError,
  type IsOwnRun,
  MemoryGuardStore,
  ParticipantGuard,
  type PreparedBranch,
  type Vote,
  isLaterRunOf,
  refuse,
} from '../../src/coordinator/index.js';
import { Account, type Entry } from './account.js';
import { SlowGuardStore } from './guard-store.js';
import { type Call, METHOD_IN_WORDS, type Message } from './message.js';
import { OpenGroups } from './open-groups.js';
import type { World } from './world.js';

/** The kind of a participant, drawn once for each world. */
export interface ParticipantTraits {
  readonly name: string;
  /** Whether it uses a ParticipantGuard. */
  readonly isGuarded: boolean;
  readonly onePhase: boolean;
  /** Whether it keeps the latest run of the coordinator, and lets no run with a copy of its log in. */
  readonly claims: boolean;
  /** Whether it can list its prepared branches. */
  readonly lists: boolean;
  /** Whether its proxy gives a call up as soon as it is not awaited. */
  readonly heedsSignals: boolean;
  readonly prepareTimeoutMs: number;
  readonly completionTimeoutMs: number;
  /**
   * Whether it is a last resource, which cannot prepare, and whether it fences a branch that it says will
   * never commit.
   */
  readonly lastResource?: { readonly fences: boolean } | undefined;
  /** Whether it prepares several transactions as one, and how. */
  readonly grouping?: { readonly goesOn: boolean; readonly reruns: boolean } | undefined;
}

/** The log of a run was copied, or another run has begun since. */
export class CopiedLogError extends Error {}

/** Values that are no vote, though some of them look like one. */
const GARBAGE: readonly unknown[] = [undefined, null, {}, 'yes', 'COMMIT', 42, true, { vote: 'commit' }];
/**
 * Some branches hold what they hold for a limited time. It follows from the key, so that it takes nothing
 * from the random stream of the world.
 *
 * @returns for how long, in milliseconds; undefined without a limit.
 */
function validForMsOf(key: string): number | undefined {
  let hash = 7;
  for (let index = 0; index < key.length; index++) hash = (hash * 31 + key.charCodeAt(index)) % 65_521;
  return hash % 6 === 0 ? 30 + (hash % 1_500) : undefined;
}

/**
 * What a crash leaves of a call: it never goes on. One that all calls share would keep every world in memory.
 */
function never(): Promise<never> {
  return new Promise(() => {});
}

/**
 * A participant in a process of its own: books and guard records that survive a crash, and calls at work that
 * do not. With a guard it takes whatever the network does. Without one it leans on two things that the rules
 * leave to it, and that its connection grants it: a prepare, or a commit in one phase, is delivered once, and
 * the caller of a prepare hears of it when its work has ended, or when the process has. Then a rollback that
 * overtakes a prepare is followed by another one.
 */
export class Participant {
  readonly account: Account;
  /** Counts the crashes: work that was begun in an earlier life is dead. */
  life = 0;
  isUp = true;
  /** The latest run that it has let in. */
  latestRun: CoordinatorRun | undefined;
  private readonly records: MemoryGuardStore;
  private guard: ParticipantGuard;
  private readonly calls = new Set<Call>();
  private readonly groups: OpenGroups;
  private snapshot: { readonly at: number; readonly branches: readonly PreparedBranch[] } | undefined;

  constructor(
    readonly traits: ParticipantTraits,
    private readonly world: World,
  ) {
    this.account = new Account(traits.name, world.judge);
    const goesOn = traits.grouping?.goesOn === true;
    this.groups = new OpenGroups(traits.name, goesOn, this.account, world);
    this.records = new MemoryGuardStore({ now: () => world.queue.now });
    this.guard = this.makeGuard();
  }

  get name(): string {
    return this.traits.name;
  }

  /** A call arrives over the network. */
  receive(call: Call): void {
    const { message, method } = call;
    if (!this.isUp) {
      call.broken();
      return;
    }
    if (message !== undefined) {
      this.world.judge.received(method, message.transactionId, this.account.find(message.key));
      if (this.world.transcript.isOn)
        this.world.say(this.name, `is asked to ${METHOD_IN_WORDS[method]} ${message.key}`);
    }
    this.calls.add(call);
    void this.serve(call).then(
      (value) => this.calls.delete(call) && call.answer(value),
      (error: unknown) => this.calls.delete(call) && call.fail(error),
    );
  }

  /** @throws CopiedLogError when the log of the run does not know the latest run that was let in. */
  async claim(run: CoordinatorRun, isOwnRun: IsOwnRun): Promise<void> {
    if (!this.isUp) throw new Error('connection lost');
    const { latestRun } = this;
    if (latestRun !== undefined && !(await isLaterRunOf(run, latestRun, isOwnRun))) {
      throw new CopiedLogError();
    }
    this.latestRun = run;
    this.world.runLetIn();
  }

  /** The process ends, and its callers may notice. */
  crash(downMs: number): void {
    if (!this.isUp) return;
    this.world.say(this.name, 'crashes');
    this.isUp = false;
    this.life++;
    const broken = [...this.calls];
    this.calls.clear();
    this.groups.loseAll();
    for (const call of broken) call.broken();
    this.world.queue.after(downMs, () => this.start());
  }

  /** The process of a coordinator has ended: its open work here ends when that is noticed. */
  loses(): void {
    if (this.traits.grouping === undefined) return;
    this.world.queue.after(this.world.network.silenceMs(), () => this.groups.loseUnconnected());
  }

  start(): void {
    if (this.isUp) return;
    this.world.say(this.name, 'is up again');
    this.isUp = true;
    this.guard = this.makeGuard();
  }

  /** A prepared branch is ended by hand, without asking the coordinator. */
  endHeuristically(): void {
    const { random, faults } = this.world;
    const [entry] = this.account.prepared();
    if (entry === undefined || !faults.strikes('participant ends heuristically')) return;
    const commits = random.chance(0.5);
    // Set first, so that the judge knows whose doing it is.
    entry.heuristic = random.pick([commits ? 'commit' : 'rollback', 'mixed', 'hazard'] as const);
    this.world.say(this.name, `ends ${entry.key} of its own accord and will report ${entry.heuristic}`);
    if (commits) this.account.commit(entry);
    else this.account.undo(entry);
  }

  private makeGuard(): ParticipantGuard {
    // An account takes repeats of a commit and of an undo, so those that a crash has interrupted are run
    // again.
    return new ParticipantGuard(
      this.world.faults.has('guard store is slow') ? new SlowGuardStore(this.records, this) : this.records,
      { interrupted: 'repeat' },
    );
  }

  private async serve(call: Call): Promise<unknown> {
    const { method, message, timeoutMs } = call;
    const { guard, traits, groups } = this;
    if (method === 'recover' || message === undefined) return this.list();
    if (method === 'runGroup' || method === 'rerunGroup') return this.runGroup(message, call);
    if (method === 'discardGroup') return this.discardGroup(message, timeoutMs);
    if (method === 'rollback') groups.rollBack(message.key);
    const prepare = () => this.prepare(message, timeoutMs);
    const commit = () => this.complete(message, timeoutMs, 'commit');
    const undo = () => this.complete(message, timeoutMs, 'rollback');
    if (method === 'commitLast') return this.commitLast(message, timeoutMs);
    if (method === 'inquire') return this.inquire(message, timeoutMs);
    if (method === 'commitOnePhase') return this.commitOnePhase(message, timeoutMs);
    if (method === 'prepare') return traits.isGuarded ? guard.prepare(message, prepare) : prepare();
    if (method === 'commit') return traits.isGuarded ? guard.commit(message, commit) : commit();
    return traits.isGuarded ? guard.rollback(message, undo) : undo();
  }

  private async runGroup(message: Message, call: Call): Promise<unknown> {
    const { timeoutMs } = call;
    const { faults, random } = this.world;
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws before its effect');
    const votes: unknown[] =
      call.method === 'runGroup' ? this.groups.run(message, call) : this.groups.runAgain(message, call);
    await this.mayCrash();
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws after its effect');
    if (!faults.strikes('participant answers garbage')) return votes;
    return random.chance(0.5) ? random.pick(GARBAGE) : [...votes.slice(1), random.pick(GARBAGE)];
  }

  private async discardGroup(message: Message, timeoutMs: number): Promise<void> {
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws before its effect');
    this.groups.discard(message);
    await this.mayCrash();
    this.throwIf('participant throws after its effect');
  }

  private async prepareGroup(message: Message, timeoutMs: number): Promise<Vote> {
    const { faults, random } = this.world;
    const { entry, vote } = this.groups.prepare(message);
    if (typeof vote === 'object') return vote;
    await this.mayCrash();
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws after its effect');
    if (faults.strikes('participant answers garbage')) return random.pick(GARBAGE) as Vote;
    entry.vote = vote === 'read-only' ? vote : 'commit';
    return vote;
  }

  private async prepare(message: Message, timeoutMs: number): Promise<Vote> {
    const { key, transactionId, branchId, payload } = message;
    const { faults, random, queue } = this.world;
    const calledAt = queue.now;
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws before its effect');
    if (payload === null) return this.prepareGroup(message, timeoutMs);
    const entry = this.account.entryOf(key, transactionId, branchId, payload.amount);
    if (faults.strikes('participant refuses')) return this.refuse(entry, 'DOES_NOT_WANT');
    if (payload.readOnly) {
      entry.state = 'read-only';
    } else if (!this.account.reserve(entry)) {
      return this.refuse(entry, 'NOT_ENOUGH');
    }
    await this.mayCrash();
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws after its effect');
    if (faults.strikes('participant answers garbage')) return random.pick(GARBAGE) as Vote;
    entry.vote = payload.readOnly ? 'read-only' : 'commit';
    const validForMs = payload.readOnly ? undefined : validForMsOf(key);
    if (validForMs === undefined) return entry.vote;
    this.world.witnesses.count('vote that expires');
    entry.validUntil = calledAt + validForMs;
    return { vote: 'commit', validForMs };
  }

  private refuse(entry: Entry, code: string): Vote {
    entry.state = 'refused';
    return this.world.random.chance(0.5)
      ? 'abort'
      : refuse(code, 'it will not do', { conflict: this.world.random.chance(0.3) });
  }

  private async complete(
    { key }: Message,
    timeoutMs: number,
    decision: 'commit' | 'rollback',
  ): Promise<void> {
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws before its effect');
    const entry = this.account.find(key);
    if (entry === undefined) return;
    if (entry.heuristic !== undefined) throw new HeuristicError(entry.heuristic, 'it was ended by hand');
    if (decision === 'commit') this.account.commit(entry);
    else this.account.undo(entry);
    await this.mayCrash();
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws after its effect');
  }

  /**
   * Asked again, it answers as it did: the entry is its memory. Without a guard it remembers no refusal, and
   * relies on the number of the attempt: asked again about what it has not done, it does nothing, and leaves
   * a mark against a first attempt that comes late.
   */
  private async commitOnePhase(message: Message, timeoutMs: number): Promise<unknown> {
    const { key, transactionId, branchId, payload, attempt } = message;
    if (payload === null) throw new TypeError('a group does not commit in one phase');
    const { faults, random } = this.world;
    const { isGuarded } = this.traits;
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws before its effect');
    const entry = this.account.entryOf(key, transactionId, branchId, payload.amount);
    if (entry.state === 'none') {
      if (!isGuarded && attempt > 1) {
        entry.state = 'refused';
      } else if (faults.strikes('participant refuses') || !this.account.reserve(entry)) {
        this.refuse(entry, 'NO');
        if (!isGuarded) entry.state = 'none';
      } else {
        this.account.commit(entry);
      }
    }
    await this.mayCrash();
    this.throwIf('participant throws after its effect');
    if (faults.strikes('participant answers garbage')) return random.pick(GARBAGE);
    return entry.state === 'committed' ? 'commit' : 'abort';
  }

  /**
   * It goes by the key of the branch alone: work that it has done, refused or ruled out under that key stays
   * so.
   */
  private async commitLast(message: Message, timeoutMs: number): Promise<unknown> {
    const { key, transactionId, branchId, payload } = message;
    if (payload === null) throw new TypeError('a group has no last resource');
    const { faults, random, witnesses } = this.world;
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws before its effect');
    const entry = this.account.entryOf(key, transactionId, branchId, payload.amount);
    if (entry.state === 'refused') witnesses.count('late commit of a last resource refused');
    else if (entry.state === 'none') {
      if (faults.strikes('participant refuses') || !this.account.reserve(entry)) entry.state = 'refused';
      else this.account.commit(entry);
    }
    await this.mayCrash();
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws after its effect');
    if (faults.strikes('participant answers garbage')) return random.pick([...GARBAGE, 'unknown']);
    return entry.state === 'committed' ? 'committed' : refuse('NO', 'it will not do');
  }

  private async inquire(message: Message, timeoutMs: number): Promise<unknown> {
    const { key, transactionId, branchId, payload } = message;
    if (payload === null) throw new TypeError('a group has no last resource');
    const { faults, random, witnesses } = this.world;
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws before its effect');
    const isUnsure = faults.strikes('participant answers garbage');
    // If it cannot answer now, it has not ruled the work out either.
    if (faults.strikes('participant refuses') || (isUnsure && random.chance(0.5))) {
      witnesses.count('last resource does not know');
      return 'unknown';
    }
    const entry = this.account.entryOf(key, transactionId, branchId, payload.amount);
    const isCommitted = entry.state === 'committed';
    witnesses.count(isCommitted ? 'last resource asked: committed' : 'last resource asked: never');
    if (!isCommitted && this.traits.lastResource?.fences !== false) entry.state = 'refused';
    await this.mayCrash();
    await this.takeTime(timeoutMs);
    this.throwIf('participant throws after its effect');
    if (isUnsure) return random.pick(GARBAGE);
    return isCommitted ? 'committed' : 'never';
  }

  private async list(): Promise<unknown> {
    const { faults, queue, random, settings } = this.world;
    if (faults.strikes('list of branches fails'))
      return random.chance(0.5) ? undefined : Promise.reject(new Error('the list would not be complete'));
    const { snapshot } = this;
    const isRecent = snapshot !== undefined && queue.now - snapshot.at < settings.options.orphanSafetyMs / 2;
    if (isRecent && faults.strikes('list of branches is stale')) return snapshot.branches;
    const branches = this.account
      .prepared()
      .map(({ transactionId, branchId }) => ({ transactionId, branchId }));
    this.snapshot = { at: queue.now, branches };
    if (faults.strikes('list of branches is late')) await this.pause(random.between(0, 5_000));
    return branches;
  }

  /** Nothing, mostly; else longer than its caller waits, or until the end of all faults. */
  private takeTime(timeoutMs: number): Promise<void> | undefined {
    const { faults, random } = this.world;
    if (faults.strikes('participant is slow')) return this.pause(random.next() * 2 * timeoutMs);
    if (faults.strikes('participant hangs')) return this.pause(this.world.untilNoticed(30_000));
    return undefined;
  }

  /** @returns a promise that resolves after that time, unless the process ends before. */
  pause(ms: number): Promise<void> {
    const { life } = this;
    return new Promise((resolve) => {
      this.world.queue.after(ms, () => {
        if (life === this.life) resolve();
      });
    });
  }

  storeIsSlow(): boolean {
    return this.world.faults.strikes('guard store is slow');
  }

  storeLatencyMs(): number {
    return this.world.random.between(0, 50);
  }

  private mayCrash(): Promise<never> | undefined {
    const { faults, random } = this.world;
    if (!faults.strikes('participant crashes in the middle of its work')) return undefined;
    this.crash(random.between(1, 3_000));
    return never();
  }

  private throwIf(
    fault: 'participant throws before its effect' | 'participant throws after its effect',
  ): void {
    if (this.world.faults.strikes(fault)) throw new Error(fault);
  }
}
