import type { Branch, CommitDecision, TransactionParticipant } from '../../src/coordinator/index.js';
import { PartialLog } from '../support/partial-log.js';

/** Writes down an event of an actor, at the present moment. */
export type Say = (who: string, what: string) => void;

export const METHODS = ['prepare', 'commit', 'rollback', 'one-phase commit'] as const;
export type Method = (typeof METHODS)[number];

const ASKED: Record<Method, string> = {
  prepare: 'is asked to prepare',
  commit: 'is told to commit',
  rollback: 'is told to roll back',
  'one-phase commit': 'is asked to commit in one phase',
};

/** A call that waits for the transcript to answer it. */
interface OpenCall {
  readonly method: Method;
  readonly attempt: number;
  readonly answer: PromiseWithResolvers<never>;
}

/** A participant that answers each call when, and as, the transcript says. */
export class Actor implements TransactionParticipant {
  private readonly calls: OpenCall[] = [];
  commitOnePhase?: (branch: Branch) => Promise<never>;

  constructor(
    private readonly name: string,
    onePhase: boolean,
    private readonly say: Say,
  ) {
    if (onePhase) this.commitOnePhase = (branch) => this.called('one-phase commit', branch);
  }

  prepare(branch: Branch): Promise<never> {
    branch.signal.addEventListener('abort', () => {
      if (this.calls.some(({ method }) => method === 'prepare')) this.say(this.name, 'may stop preparing');
    });
    return this.called('prepare', branch);
  }

  commit(branch: Branch): Promise<never> {
    return this.called('commit', branch);
  }

  rollback(branch: Branch): Promise<never> {
    return this.called('rollback', branch);
  }

  /**
   * @returns the latest unanswered call of a method, or that of a certain attempt; it counts as answered now.
   */
  take(method: Method, attempt: number | undefined): PromiseWithResolvers<never> {
    const index = this.calls.findLastIndex(
      (call) => call.method === method && (attempt === undefined || call.attempt === attempt),
    );
    const [call] = index === -1 ? [] : this.calls.splice(index, 1);
    if (call === undefined) throw new Error(`${this.name} was not called to ${method}, or has answered.`);
    return call.answer;
  }

  private called(method: Method, { attempt, payload }: Branch): Promise<never> {
    const answer = Promise.withResolvers<never>();
    this.calls.push({ method, attempt, answer });
    const which = attempt === 0 ? '' : `, attempt ${attempt}`;
    this.say(this.name, `${ASKED[method]}${which}${payload === undefined ? ', but not what to do' : ''}`);
    return answer.promise;
  }
}

/** A decision log that takes each record, and each question, when the transcript says. */
export class LogActor extends PartialLog {
  private appending: PromiseWithResolvers<void> | undefined;
  private inquiry: PromiseWithResolvers<'recorded' | 'absent'> | undefined;

  constructor(private readonly say: Say) {
    super();
  }

  override end(): void {
    this.say('log', 'is told that every branch has acknowledged');
  }

  append(decision: CommitDecision): Promise<void> {
    const names = decision
      .toRecord()
      .branches.map(({ branchId }) => branchId)
      .join(', ');
    this.say('log', `is handed the decision to commit ${names}`);
    this.appending = Promise.withResolvers();
    return this.appending.promise;
  }

  lookUp(): Promise<'recorded' | 'absent'> {
    this.say('log', 'is asked whether it has the decision');
    this.inquiry = Promise.withResolvers();
    return this.inquiry.promise;
  }

  written(): void {
    if (this.appending === undefined) throw new Error('The log was handed nothing.');
    this.appending.resolve();
  }

  finds(answer: 'recorded' | 'absent'): void {
    if (this.inquiry === undefined) throw new Error('The log was asked nothing.');
    this.inquiry.resolve(answer);
  }

  fails(message: string): void {
    const last = this.inquiry ?? this.appending;
    if (last === undefined) throw new Error('The log was handed nothing.');
    last.reject(new Error(message));
  }
}
