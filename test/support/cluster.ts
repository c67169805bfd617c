import {
  type Branch,
  type CoordinatorOptions,
  type LastResource,
  type OnePhaseAnswer,
  type PreparedBranch,
  type TransactionParticipant,
  type Vote,
  originOf,
} from '../../src/coordinator/index.js';
import type { GroupBranch, GroupingParticipant } from '../../src/coordinator/participant/group.js';
import type { Clock } from '../../src/coordinator/execution/clock.js';
import type { FormatRange, SharedDecisionLog } from '../../src/coordinator/log/shared-log.js';
import {
  ManualClock,
  type ScriptedLastResource,
  ScriptedParticipant,
  type TestCoordinator,
  createTestCoordinator,
} from '../../src/coordinator/testing/index.js';
import { SharedMemoryLog } from '../../src/coordinator/testing/shared-memory-log.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';

export const LEASE_MS = 5_000;

/** How often the recovery job of a member runs, in milliseconds. */
const RECOVERY_MS = 1_000;

/** Several members over one log and the same participants, on one clock that the test moves. */
export class Cluster {
  readonly clock = new ManualClock();
  readonly store: SharedMemoryStore;
  readonly members: Member[] = [];
  /** Participants that no member reaches now. */
  readonly outOfReach = new Set<ScriptedParticipant>();
  /** The epochs whose sessions the participants were told to end, in the order in which that came. */
  readonly sessionsEnded: number[] = [];
  /**
   * Lists that are asked for meanwhile are answered only then, with what they held when they were asked for.
   */
  listsHeldUntil: Promise<void> | undefined;

  /**
   * @param participants by name. All members call the same.
   * @param lastResources those that cannot prepare, by name.
   * @param synchronousStandbys whether the operator has declared that only synchronous standbys take over.
   */
  constructor(
    readonly participants: Readonly<Record<string, ScriptedParticipant>>,
    synchronousStandbys = false,
    readonly lastResources: Readonly<Record<string, ScriptedLastResource>> = {},
  ) {
    this.store = new SharedMemoryStore({ now: () => this.clock.now(), synchronousStandbys });
  }

  /** @param formats of records that it reads. */
  async start(options: CoordinatorOptions = {}, formats?: FormatRange): Promise<Member> {
    const member = new Member(this, options, formats);
    await member.open();
    this.members.push(member);
    return member;
  }

  /** Starts so many members, and lets each renew its lease for one full lease. */
  async startSteady(count: number, options: CoordinatorOptions = {}): Promise<Member[]> {
    for (let number = 0; number < count; number++) await this.start(options);
    await this.advance(LEASE_MS + 1_500);
    return this.members;
  }

  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms, 50);
  }

  /** Whether a branch is prepared at any participant. */
  get hasPrepared(): boolean {
    return Object.values(this.participants).some((one) => [...one.effects.values()].includes('prepared'));
  }
}

/** One member: a process that can be killed, or stand still for a while. */
export class Member {
  readonly log: SharedMemoryLog;
  coordinator!: TestCoordinator<Clock>;
  private state: 'running' | 'paused' | 'dead' = 'running';
  private resumed: PromiseWithResolvers<void> | undefined;
  private stoodStillAt = 0;
  private recoveredAt = 0;

  constructor(
    private readonly cluster: Cluster,
    private readonly options: CoordinatorOptions,
    formats?: FormatRange,
  ) {
    this.log = new SharedMemoryLog(cluster.store, formats);
  }

  async open(): Promise<void> {
    const { options, cluster } = this;
    const log = gated(this.log, () => this.gate()) as SharedDecisionLog;
    const claim = await log.open(options.name ?? 'shop');
    this.coordinator = createTestCoordinator<Clock>({
      recoveryIntervalMs: RECOVERY_MS,
      leaseMs: LEASE_MS,
      ...options,
      name: options.name ?? 'shop',
      clock: this.clock(),
      log,
      claim,
      lastResources: Object.fromEntries(
        Object.entries(cluster.lastResources).map(([name, target]) => [name, this.linkToLast(target)]),
      ),
      participants: Object.fromEntries(
        Object.entries(cluster.participants).map(([name, target]) => [name, this.link(target)]),
      ),
    });
  }

  get epoch(): number {
    return this.coordinator.runtime.log.epoch;
  }

  /** The epochs that it has adopted and not settled. */
  get adopted(): readonly number[] {
    return this.coordinator.membership!.adoptions.epochs;
  }

  /** SIGKILL: nothing that it is answered reaches it any more. Its sessions end. */
  kill(): void {
    this.state = 'dead';
    this.log.crash();
  }

  /** SIGSTOP. */
  pause(): void {
    if (this.state !== 'running') return;
    this.state = 'paused';
    this.stoodStillAt = this.cluster.clock.now();
    this.resumed = Promise.withResolvers<void>();
  }

  /** SIGCONT. */
  resume(): void {
    if (this.state !== 'paused') return;
    this.state = 'running';
    this.resumed?.resolve();
  }

  get isRunning(): boolean {
    return this.state === 'running';
  }

  /** Messages to a stopped process wait, and messages to a dead one are lost. */
  private async gate(): Promise<void> {
    while (this.state !== 'running')
      await (this.state === 'dead' ? new Promise(() => {}) : this.resumed!.promise);
  }

  private clock(): Clock {
    const { clock } = this.cluster;
    return {
      now: () => (this.isRunning ? clock.now() : this.stoodStillAt),
      epochMs: clock.epochMs,
      onAdvance: (listener) =>
        clock.onAdvance(() => {
          if (!this.isRunning) return;
          listener();
          this.recover();
        }),
    };
  }

  private recover(): void {
    const now = this.cluster.clock.now();
    if (now - this.recoveredAt < RECOVERY_MS) return;
    this.recoveredAt = now;
    void this.coordinator.recover();
  }

  private linkToLast(target: ScriptedLastResource): LastResource {
    const call = async <T>(method: () => Promise<T>): Promise<T> => {
      await this.gate();
      const answer = await method();
      await this.gate();
      return answer;
    };
    return {
      commit: (branch) => call(() => target.commit(branch)),
      inquire: (branch) => call(() => target.inquire(branch)),
    };
  }

  /** A participant as this member reaches it. */
  private link(target: ScriptedParticipant): TransactionParticipant {
    const grouping = target as Partial<GroupingParticipant>;
    const call = async <T>(method: () => T | PromiseLike<T>): Promise<T> => {
      await this.gate();
      if (this.cluster.outOfReach.has(target)) throw new Error('out of reach');
      const answer = await Promise.resolve()
        .then(method)
        .then(
          (value) => ({ value }),
          (error: unknown) => ({ error }),
        );
      await this.gate();
      if ('error' in answer) throw answer.error;
      return answer.value;
    };
    return {
      prepare: (branch: Branch) => call((): Promise<Vote> => target.prepare(branch)),
      commit: (branch: Branch) => call(() => target.commit(branch)),
      rollback: (branch: Branch) => call(() => target.rollback(branch)),
      recover: () =>
        call(async () => {
          const list = preparedAt(target);
          await this.cluster.listsHeldUntil;
          return list;
        }),
      endSessionsOf: (run) =>
        call(() => {
          this.cluster.sessionsEnded.push(run.epoch);
          return grouping.endSessionsOf?.(run);
        }),
      preparesDurably: true,
      ...(grouping.grouped === true && {
        grouped: true,
        mayJoinGroup: (payload: unknown, branch: Branch) =>
          grouping.mayJoinGroup?.(payload, branch) !== false,
        runGroup: (...args: Parameters<GroupingParticipant['runGroup']>) =>
          call(() => grouping.runGroup!(...args)),
        discardGroup: (group: GroupBranch) => call(() => grouping.discardGroup!(group)),
      }),
      ...(target.commitOnePhase !== undefined && {
        commitOnePhase: (branch: Branch) =>
          call((): Promise<OnePhaseAnswer> => target.commitOnePhase!(branch)),
      }),
    };
  }
}

/** The branches that are prepared at a participant. */
export function preparedAt({ effects }: ScriptedParticipant): PreparedBranch[] {
  return [...effects].flatMap(([key, effect]) => {
    if (effect !== 'prepared') return [];
    const [transactionId, branchId] = key.split('/') as [string, string];
    return [{ transactionId, branchId }];
  });
}

/** The epoch in the id of a transaction. */
export function epochOf(transactionId: string): number {
  return originOf(transactionId)!.epoch;
}

/** Every call of an object, and every answer of it, passes a gate. */
function gated<T extends object>(target: T, gate: () => Promise<void>): T {
  return new Proxy(target, {
    get(_, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (key === 'members') return gated(value as object, gate);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]): Promise<unknown> => {
        await gate();
        try {
          return await (Reflect.apply(value, target, args) as Promise<unknown>);
        } finally {
          await gate();
        }
      };
    },
  });
}
