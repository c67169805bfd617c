import {
  type Branch,
  HeuristicError,
  type OnePhaseAnswer,
  type TransactionParticipant,
  type Vote,
  refuse,
} from '../participant/participant.js';
import type { HeuristicKind } from '../protocol/index.js';
import type { ManualClock } from './manual-clock.js';

/**
 * The behaviour of a scripted participant when one of its methods is called:
 * - `yes`: it does the work. In prepare it votes commit.
 * - `no`, or `{ refuse }`: it votes abort, with `conflict: true` because of another transaction. `read-only`:
 *   it votes that. In a method without a vote, all are `yes`.
 * - `throw`: it throws before any effect. `throw-after`: it takes effect, and throws.
 * - `hang`: it never answers. `hang-after`: it takes effect, and never answers.
 * - `{ delayMs, then }`: it waits, on its ManualClock if it has one and otherwise on the real clock, and
 *   continues.
 * - `{ until, then }`: it waits for a promise of the test, and continues.
 * - `{ answer }`: it takes effect and gives this answer, whatever it is.
 * - `{ heuristic }`: it reports a heuristic end.
 *
 * @publicApi
 */
export type Behaviour =
  | 'yes'
  | 'no'
  | 'read-only'
  | 'throw'
  | 'throw-after'
  | 'hang'
  | 'hang-after'
  | { readonly refuse: string; readonly reason?: string; readonly conflict?: boolean }
  | { readonly delayMs: number; readonly then?: Behaviour }
  | { readonly until: Promise<unknown>; readonly then?: Behaviour }
  | { readonly answer: unknown }
  | { readonly heuristic: HeuristicKind };

/** A behaviour for every call, or one for each call in turn, the last for all that follow. @publicApi */
export type Script = Behaviour | readonly Behaviour[];

/** The behaviour of a scripted participant, by method. The default is `yes`. @publicApi */
export interface ParticipantScript {
  readonly prepare?: Script;
  readonly commit?: Script;
  readonly rollback?: Script;
  /** The participant has this method only when its first script mentions it. */
  readonly commitOnePhase?: Script;
}

/** One call that a scripted participant received, with the branch as it was then. @publicApi */
export interface RecordedCall<P> {
  readonly method: keyof ParticipantScript;
  readonly branch: Branch<P>;
}

/** The state of a branch at a scripted participant. @publicApi */
export type Effect = 'prepared' | 'committed' | 'rolled-back';

const EFFECT_OF = {
  prepare: 'prepared',
  commit: 'committed',
  rollback: 'rolled-back',
  commitOnePhase: 'committed',
} as const;

/** The answer of `yes`. */
const ANSWER_OF = {
  prepare: 'commit',
  commit: undefined,
  rollback: undefined,
  commitOnePhase: 'commit',
} as const;

/**
 * A participant that follows a script and records its calls, for tests of code that runs transactions. It
 * keeps rule 6 of the protocol: repeats are harmless, and a prepare after its rollback is refused. It answers
 * a rollback after a commit, or a commit after a rollback, with a heuristic report, so that the error is
 * noticed.
 *
 * @publicApi
 */
export class ScriptedParticipant<P = unknown> implements TransactionParticipant<P> {
  readonly calls: RecordedCall<P>[] = [];
  /** By transaction and branch, as in `effectOn`. */
  readonly effects = new Map<string, Effect>();
  readonly commitOnePhase?: (branch: Branch<P>) => Promise<OnePhaseAnswer>;

  private currentScript: ParticipantScript;
  /** The number of calls of each method since the script was set. */
  private readonly turns = new Map<keyof ParticipantScript, number>();

  /**
   * @param script the behaviour at each call.
   * @param clock measures `delayMs`. @default the real clock
   */
  constructor(
    script: ParticipantScript = {},
    private readonly clock?: ManualClock,
  ) {
    this.currentScript = script;
    if (script.commitOnePhase !== undefined) {
      this.commitOnePhase = async (branch) =>
        (await this.perform('commitOnePhase', branch)) as OnePhaseAnswer;
    }
  }

  /**
   * A participant that recovers.
   *
   * @param failures the number of first calls of each method that throw.
   * @param methods the failing methods. @default only commit
   */
  static flaky<P = unknown>(
    failures: number,
    methods: readonly (keyof ParticipantScript)[] = ['commit'],
  ): ScriptedParticipant<P> {
    const script = [...Array.from({ length: failures }, () => 'throw' as const), 'yes' as const];
    return new ScriptedParticipant(Object.fromEntries(methods.map((method) => [method, script])));
  }

  get script(): ParticipantScript {
    return this.currentScript;
  }

  /** Replaces the script from the next call on, starting with its first behaviour. */
  set script(script: ParticipantScript) {
    this.currentScript = script;
    this.turns.clear();
  }

  async prepare(branch: Branch<P>): Promise<Vote> {
    return (await this.perform('prepare', branch)) as Vote;
  }

  async commit(branch: Branch<P>): Promise<void> {
    await this.perform('commit', branch);
  }

  async rollback(branch: Branch<P>): Promise<void> {
    await this.perform('rollback', branch);
  }

  /** @returns the number of calls of a method. */
  count(method: RecordedCall<P>['method']): number {
    return this.calls.filter((call) => call.method === method).length;
  }

  /** @returns the state of a branch here, or undefined when no call was ever made for it. */
  effectOn(transactionId: string, branchId: string): Effect | undefined {
    return this.effects.get(`${transactionId}/${branchId}`);
  }

  private perform(method: keyof ParticipantScript, branch: Branch<P>): Promise<unknown> {
    this.calls.push({ method, branch: snapshotOf(branch) });
    const turn = this.turns.get(method) ?? 0;
    this.turns.set(method, turn + 1);
    const script = this.currentScript[method] ?? 'yes';
    const behaviour = isSequence(script) ? (script[Math.min(turn, script.length - 1)] ?? 'yes') : script;
    return this.behave(behaviour, method, branch);
  }

  private async behave(
    behaviour: Behaviour,
    method: keyof ParticipantScript,
    branch: Branch<P>,
  ): Promise<unknown> {
    if (typeof behaviour === 'object') {
      if ('delayMs' in behaviour) {
        await this.wait(behaviour.delayMs);
        return this.behave(behaviour.then ?? 'yes', method, branch);
      }
      if ('until' in behaviour) {
        await behaviour.until;
        return this.behave(behaviour.then ?? 'yes', method, branch);
      }
      if ('heuristic' in behaviour) throw new HeuristicError(behaviour.heuristic, 'scripted');
      if ('answer' in behaviour) {
        this.take(method, branch);
        return behaviour.answer;
      }
      const { refuse: code, reason = 'scripted', conflict = false } = behaviour;
      return isAskedToVote(method) ? refuse(code, reason, { conflict }) : this.take(method, branch);
    }
    switch (behaviour) {
      case 'yes':
        return this.take(method, branch);
      case 'no':
        return isAskedToVote(method) ? 'abort' : this.take(method, branch);
      case 'read-only':
        return method === 'prepare' ? 'read-only' : this.take(method, branch);
      case 'throw':
        throw new Error('scripted failure');
      case 'throw-after':
        this.take(method, branch);
        throw new Error('scripted failure after the effect');
      case 'hang':
        return new Promise(() => {});
      case 'hang-after':
        this.take(method, branch);
        return new Promise(() => {});
    }
  }

  /** The effect of a method, once. @returns the answer then. */
  private take(method: keyof ParticipantScript, branch: Branch<P>): unknown {
    const key = `${branch.transactionId}/${branch.branchId}`;
    const before = this.effects.get(key);
    const effect = EFFECT_OF[method];
    if (before === 'rolled-back' && isAskedToVote(method)) {
      return refuse('ROLLED_BACK', 'this branch was rolled back before');
    }
    if (before === 'rolled-back' && effect === 'committed') {
      throw new HeuristicError('rollback', `${key} received a commit, but it is rolled back`);
    }
    if (before === 'committed' && effect === 'rolled-back') {
      throw new HeuristicError('commit', `${key} received a rollback, but it is committed`);
    }
    if (before !== 'committed') this.effects.set(key, effect);
    return ANSWER_OF[method];
  }

  private wait(ms: number): Promise<void> {
    return this.clock?.delay(ms) ?? new Promise((resolve) => setTimeout(resolve, ms));
  }
}

/** The coordinator drops a payload when its transaction has ended, but tests read it afterwards. */
function snapshotOf<P>(branch: Branch<P>): Branch<P> {
  const { transactionId, branchId, payload, deadline, attempt, run, requestId } = branch;
  return {
    transactionId,
    branchId,
    payload,
    deadline,
    attempt,
    run,
    ...(requestId !== undefined && { requestId }),
    get signal() {
      return branch.signal;
    },
  };
}

function isSequence(script: Script): script is readonly Behaviour[] {
  return Array.isArray(script);
}

function isAskedToVote(method: keyof ParticipantScript): boolean {
  return method === 'prepare' || method === 'commitOnePhase';
}
