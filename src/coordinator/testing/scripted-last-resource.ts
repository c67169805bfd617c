import type { LastResource, LastResourceAnswer } from '../participant/last-resource.js';
import { type Branch, branchKey, refuse } from '../participant/participant.js';

/**
 * The behaviour of a scripted last resource when it is called:
 * - `yes`: commit does the work, unless `inquire` was first, and inquire says how the branch has ended.
 * - `no`: it refuses, and does nothing. `unknown`: it says that it does not know.
 * - `throw`: it throws before any effect. `throw-after`: it takes effect, and throws.
 * - `hang`: it never answers. `hang-after`: it takes effect, and never answers.
 * - `{ until, then }`: it waits for a promise of the test, and continues.
 * - `{ answer }`: it takes effect and gives this answer, whatever it is.
 *
 * @publicApi
 */
export type LastResourceBehaviour =
  | 'yes'
  | 'no'
  | 'unknown'
  | 'throw'
  | 'throw-after'
  | 'hang'
  | 'hang-after'
  | { readonly until: Promise<unknown>; readonly then?: LastResourceBehaviour }
  | { readonly answer: unknown };

/** A behaviour for every call, or one for each call in turn, the last for all that follow. @publicApi */
export interface LastResourceScript {
  /** @default `yes` */
  readonly commit?: LastResourceBehaviour | readonly LastResourceBehaviour[];
  /** @default `yes` */
  readonly inquire?: LastResourceBehaviour | readonly LastResourceBehaviour[];
}

/** One call that a scripted last resource received. @publicApi */
export interface LastResourceCall {
  readonly method: 'commit' | 'inquire';
  readonly transactionId: string;
  readonly payload: unknown;
  readonly attempt: number;
}

/**
 * A last resource that follows a script and records its calls, for tests of code that runs transactions. It
 * keeps its contract: an inquiry about a branch that has not committed fences it, so that a later commit is
 * refused.
 *
 * @publicApi
 */
export class ScriptedLastResource<P = unknown> implements LastResource<P> {
  readonly calls: LastResourceCall[] = [];
  /** How each branch has ended, by its key. */
  readonly ends = new Map<string, 'committed' | 'never'>();
  private currentScript: LastResourceScript;
  private readonly turns = { commit: 0, inquire: 0 };

  constructor(script: LastResourceScript = {}) {
    this.currentScript = script;
  }

  get script(): LastResourceScript {
    return this.currentScript;
  }

  /** Replaces the script from the next call on, starting with its first behaviour. */
  set script(script: LastResourceScript) {
    this.currentScript = script;
    Object.assign(this.turns, { commit: 0, inquire: 0 });
  }

  async commit(branch: Branch<P>): Promise<LastResourceAnswer> {
    return this.perform('commit', branch);
  }

  async inquire(branch: Branch<P>): Promise<LastResourceAnswer> {
    return this.perform('inquire', branch);
  }

  /** @returns the number of calls of a method. */
  count(method: LastResourceCall['method']): number {
    return this.calls.filter((call) => call.method === method).length;
  }

  private perform(method: LastResourceCall['method'], branch: Branch<P>): Promise<LastResourceAnswer> {
    const { transactionId, payload, attempt } = branch;
    this.calls.push({ method, transactionId, payload, attempt });
    const script = this.currentScript[method] ?? 'yes';
    const turn = this.turns[method]++;
    const behaviour = isSequence(script) ? script[Math.min(turn, script.length - 1)] : script;
    return this.behave(behaviour ?? 'yes', method, branchKey(branch));
  }

  private async behave(
    behaviour: LastResourceBehaviour,
    method: LastResourceCall['method'],
    key: string,
  ): Promise<LastResourceAnswer> {
    if (typeof behaviour === 'object') {
      if ('until' in behaviour) {
        await behaviour.until;
        return this.behave(behaviour.then ?? 'yes', method, key);
      }
      this.take(method, key);
      return behaviour.answer as LastResourceAnswer;
    }
    switch (behaviour) {
      case 'yes':
        return this.take(method, key);
      case 'no':
        this.ends.set(key, 'never');
        return refuse('REFUSED', 'scripted');
      case 'unknown':
        return 'unknown';
      case 'throw':
        throw new Error('scripted failure');
      case 'throw-after':
        this.take(method, key);
        throw new Error('scripted failure after the effect');
      case 'hang':
        return new Promise(() => {});
      case 'hang-after':
        this.take(method, key);
        return new Promise(() => {});
    }
  }

  /** The first call for a branch settles how it ends. */
  private take(method: LastResourceCall['method'], key: string): 'committed' | 'never' {
    const end = this.ends.get(key) ?? (method === 'commit' ? 'committed' : 'never');
    this.ends.set(key, end);
    return end;
  }
}

function isSequence(
  script: LastResourceBehaviour | readonly LastResourceBehaviour[],
): script is readonly LastResourceBehaviour[] {
  return Array.isArray(script);
}
