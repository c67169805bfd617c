import { InvalidParticipantError } from '../errors.js';
import { Refused, Unintelligible, answerOf } from '../gate/answer.js';
import { follow } from '../gate/settled.js';
import { describeAnswer } from '../gate/texts.js';
import { methodOf } from './participant-methods.js';
import type {
  AbortVote,
  Branch,
  BranchEnd,
  BranchStart,
  OnePhaseAnswer,
  Registration,
  TransactionParticipant,
  Vote,
} from './participant.js';

/**
 * The answer of a last resource. `committed`: its work is done, and stays done. `never`, or {@link refuse}:
 * nothing was done and nothing ever will be, also not by a commit that is still on its way. `unknown`: it
 * cannot say that yet. An error and any other value count as `unknown`.
 *
 * @publicApi
 */
export type LastResourceAnswer = 'committed' | 'never' | 'unknown' | AbortVote;

/**
 * A service that takes part in transactions and cannot prepare, such as an HTTP API with idempotency keys,
 * Redis or a document store. Its class has `@Participant({ lastResource: true })`. A transaction has at most
 * one: it is asked after all other branches have voted, and its commit is the decision.
 *
 * @typeParam P the payload of its branches.
 * @publicApi
 */
export interface LastResource<P = unknown> {
  /**
   * Does the work for good, under a key of the branch (see `branchKey`). It is called at most once for a
   * branch. After an answer that is not clear, or none in time, the coordinator asks {@link inquire}.
   */
  commit(branch: Branch<P>): LastResourceAnswer | PromiseLike<LastResourceAnswer>;

  /**
   * Says how the branch has ended. It is called until the answer is `committed` or `never`, and must give the
   * same answer again. The commit may have been lost, may be under way, or may arrive later.
   *
   * `never` therefore needs a fence: the resource must refuse a commit under this key that arrives from now
   * on. That the key was not found proves nothing: the answer is then `unknown`.
   */
  inquire(branch: Branch<P>): LastResourceAnswer | PromiseLike<LastResourceAnswer>;

  /** As {@link TransactionParticipant.registered}. */
  registered?(registration: Registration): void;
  /** As {@link TransactionParticipant.checkPayload}. */
  checkPayload?(payload: P): void;
  /** As {@link TransactionParticipant.branchStarted}. */
  branchStarted?(start: BranchStart<P>): void | PromiseLike<void>;
  /** As {@link TransactionParticipant.branchEnded}. */
  branchEnded?(end: BranchEnd): void | PromiseLike<void>;
}

const REQUIRED_METHODS = ['commit', 'inquire'] as const;
const OPTIONAL_METHODS = ['registered', 'checkPayload', 'branchStarted', 'branchEnded'] as const;
/**
 * The methods of a participant that can prepare. A last resource with one of them was declared by mistake.
 */
const METHODS_OF_OTHERS = ['prepare', 'rollback', 'commitOnePhase', 'recover'] as const;

/**
 * @throws InvalidParticipantError when a method is missing, is not a function, or is one that a last resource
 * cannot have.
 */
export function checkLastResource(instance: unknown, className: string): void {
  for (const method of REQUIRED_METHODS) {
    if (typeof methodOf(instance, method, className) === 'function') continue;
    throw new InvalidParticipantError(
      className,
      `it is a last resource and has no method ${method}()`,
      'Implement LastResource: commit and inquire. Or leave out `lastResource` if it can prepare.',
    );
  }
  for (const method of OPTIONAL_METHODS) {
    const found = methodOf(instance, method, className);
    if (found === undefined || typeof found === 'function') continue;
    throw new InvalidParticipantError(
      className,
      `its ${method} is ${describeAnswer(found)}, not a method`,
      `Make ${method}() a method, or leave it out.`,
    );
  }
  for (const method of METHODS_OF_OTHERS) {
    if (methodOf(instance, method, className) === undefined) continue;
    throw new InvalidParticipantError(
      className,
      `it is a last resource and has a method ${method}(), which is never called`,
      `Leave out \`lastResource\` if it can prepare and roll back. Otherwise leave out ${method}().`,
    );
  }
}

/**
 * A last resource as the coordinator calls it: like a participant that is alone in its transaction and
 * commits in one phase. The first call is its commit. Every further call asks how that has ended.
 */
export class LastResourceParticipant implements TransactionParticipant {
  /** Its work outlives the process, so the log must record which branch to ask. */
  readonly preparesDurably = true;
  readonly registered?: NonNullable<TransactionParticipant['registered']>;
  readonly checkPayload?: NonNullable<TransactionParticipant['checkPayload']>;
  readonly branchStarted?: NonNullable<TransactionParticipant['branchStarted']>;
  readonly branchEnded?: NonNullable<TransactionParticipant['branchEnded']>;

  constructor(readonly resource: LastResource) {
    if (resource.registered !== undefined)
      this.registered = (registration) => resource.registered!(registration);
    if (resource.checkPayload !== undefined) this.checkPayload = (payload) => resource.checkPayload!(payload);
    if (resource.branchStarted !== undefined) this.branchStarted = (start) => resource.branchStarted!(start);
    if (resource.branchEnded !== undefined) this.branchEnded = (end) => resource.branchEnded!(end);
  }

  prepare(): Vote {
    throw new Error('A last resource cannot prepare.');
  }

  commit(): never {
    throw new Error('A last resource has committed when the others learn of it.');
  }

  /** It is asked last, so until then there is nothing to undo. */
  rollback(): void {}

  commitOnePhase(branch: Branch): PromiseLike<OnePhaseAnswer> {
    const { resource } = this;
    const answer = branch.attempt === 1 ? resource.commit(branch) : resource.inquire(branch);
    return new Promise((resolve, reject) => {
      const answered = (value: unknown): void => {
        if (value === 'unknown') reject(new Error('it is not known yet whether it has committed'));
        else resolve(onePhaseAnswer(value));
      };
      follow(answer, answered, reject);
    });
  }
}

/** The values that answer a one-phase commit are none of a last resource. */
function onePhaseAnswer(value: unknown): OnePhaseAnswer {
  if (value === 'committed') return 'commit';
  if (value === 'never') return NEVER as unknown as OnePhaseAnswer;
  const answer = typeof value === 'string' ? new Unintelligible(describeAnswer(value)) : answerOf(value);
  return answer as unknown as OnePhaseAnswer;
}

const NEVER = new Refused('NEVER_COMMITTED', 'the last resource has not committed, and never will');
