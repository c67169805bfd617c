import {
  type Branch,
  HeuristicError,
  type TransactionParticipant,
  type Vote,
  refuse,
} from '../participant/participant.js';
import type { HeuristicKind } from '../protocol/index.js';

/**
 * What a scripted participant does when one of its methods is called:
 * - `yes`: it does what is asked. In prepare it votes commit.
 * - `no`, or `{ refuse }`: it votes abort. `read-only`: it votes that. In commit and rollback both are `yes`.
 * - `throw`: it throws before any effect. `throw-after`: it takes effect, and throws.
 * - `hang`: it never answers. `hang-after`: it takes effect, and never answers.
 * - `{ delayMs, then }`: it waits on the real clock, and goes on.
 * - `{ until, then }`: it waits for a promise of the test, and goes on.
 * - `{ answer }`: it takes effect and answers this, whatever it is.
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
  | { readonly refuse: string; readonly reason?: string }
  | { readonly delayMs: number; readonly then?: Behaviour }
  | { readonly until: Promise<unknown>; readonly then?: Behaviour }
  | { readonly answer: unknown }
  | { readonly heuristic: HeuristicKind };

/** A behaviour for every call, or one for each call in turn, the last for all that follow. @publicApi */
export type Script = Behaviour | readonly Behaviour[];

/** What a scripted participant does, by method. What is left out is `yes`. @publicApi */
export interface ParticipantScript {
  readonly prepare?: Script;
  readonly commit?: Script;
  readonly rollback?: Script;
}

/** One call that a scripted participant received. @publicApi */
export interface RecordedCall<P> {
  readonly method: 'prepare' | 'commit' | 'rollback';
  readonly branch: Branch<P>;
}

/** What has become of a branch at a scripted participant. @publicApi */
export type Effect = 'prepared' | 'committed' | 'rolled-back';

/**
 * A participant that does as it is told, and remembers what was asked of it: for tests of code that runs
 * transactions. It keeps rule 6: repeats are harmless, and a prepare after its rollback is refused.
 *
 * @publicApi
 */
export class ScriptedParticipant<P = unknown> implements TransactionParticipant<P> {
  readonly calls: RecordedCall<P>[] = [];
  /** By transaction and branch, as in `effectOn`. */
  readonly effects = new Map<string, Effect>();

  constructor(public script: ParticipantScript = {}) {}

  /** `yes` for the first calls, as many as `failures`, is `throw`: a participant that recovers. */
  static flaky(
    failures: number,
    methods: readonly (keyof ParticipantScript)[] = ['commit'],
  ): ScriptedParticipant {
    const script = [...Array.from({ length: failures }, () => 'throw' as const), 'yes' as const];
    return new ScriptedParticipant(Object.fromEntries(methods.map((method) => [method, script])));
  }

  async prepare(branch: Branch<P>): Promise<Vote> {
    return (await this.perform('prepare', branch, 'prepared', 'commit')) as Vote;
  }

  async commit(branch: Branch<P>): Promise<void> {
    await this.perform('commit', branch, 'committed', undefined);
  }

  async rollback(branch: Branch<P>): Promise<void> {
    await this.perform('rollback', branch, 'rolled-back', undefined);
  }

  /** @returns how often a method was called. */
  count(method: RecordedCall<P>['method']): number {
    return this.calls.filter((call) => call.method === method).length;
  }

  /** @returns what became of a branch here, or undefined when nothing was ever done for it. */
  effectOn(transactionId: string, branchId: string): Effect | undefined {
    return this.effects.get(`${transactionId}/${branchId}`);
  }

  private perform(
    method: RecordedCall<P>['method'],
    branch: Branch<P>,
    effect: Effect,
    answer: unknown,
  ): Promise<unknown> {
    this.calls.push({ method, branch });
    const script = this.script[method] ?? 'yes';
    const turn = this.count(method) - 1;
    const behaviour = Array.isArray(script)
      ? (script as readonly Behaviour[])[Math.min(turn, script.length - 1)]!
      : (script as Behaviour);
    return this.behave(behaviour, branch, effect, answer);
  }

  private async behave(
    behaviour: Behaviour,
    branch: Branch<P>,
    effect: Effect,
    answer: unknown,
  ): Promise<unknown> {
    if (typeof behaviour === 'object') {
      if ('delayMs' in behaviour) {
        await new Promise((resolve) => setTimeout(resolve, behaviour.delayMs));
        return this.behave(behaviour.then ?? 'yes', branch, effect, answer);
      }
      if ('until' in behaviour) {
        await behaviour.until;
        return this.behave(behaviour.then ?? 'yes', branch, effect, answer);
      }
      if ('heuristic' in behaviour) throw new HeuristicError(behaviour.heuristic, 'scripted');
      if ('answer' in behaviour) {
        this.take(effect, branch);
        return behaviour.answer;
      }
      return effect === 'prepared' ? refuse(behaviour.refuse, behaviour.reason ?? 'scripted') : answer;
    }
    const { take } = this;
    switch (behaviour) {
      case 'throw':
        throw new Error('scripted failure');
      case 'throw-after':
        take(effect, branch);
        throw new Error('scripted failure after the effect');
      case 'hang':
        return new Promise(() => {});
      case 'hang-after':
        take(effect, branch);
        return new Promise(() => {});
      case 'no':
        return effect === 'prepared' ? 'abort' : answer;
      case 'read-only':
        return effect === 'prepared' ? 'read-only' : answer;
      case 'yes':
        return take(effect, branch) ? answer : refuse('ROLLED_BACK', 'this branch was rolled back before');
    }
  }

  /** @returns false for a prepare that comes after its rollback, which has no effect. */
  private readonly take = (effect: Effect, branch: Branch<P>): boolean => {
    const key = `${branch.transactionId}/${branch.branchId}`;
    const before = this.effects.get(key);
    if (effect === 'prepared' && before === 'rolled-back') return false;
    this.effects.set(key, effect);
    return true;
  };
}
