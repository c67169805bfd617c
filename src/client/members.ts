import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { RUN_HEADER, REQUEST_KEY_HEADER } from '../server/wire/index.js';
import type { ResolvedClientOptions } from './client.options.js';
import {
  CoordinatorRefusedError,
  CoordinatorUnreachableError,
  RequestOutcomeUnknownError,
} from './errors.js';
import { Member, type MemberRequest, type Tried } from './member.js';

const problemSchema = z.object({
  code: z.string().max(100),
  detail: z.string().max(10_000),
  member: z.object({ address: z.string().max(2_000).nullable() }).optional(),
});

/** Refusals that depend on nothing but the content of the request: each try of it gets the same one. */
const REFUSED_FOR_CONTENT = new Set([
  'DTC_BAD_REQUEST',
  'DTC_BODY_TOO_LARGE',
  'DTC_BRANCH_CONFLICT',
  'DTC_INVALID_REQUEST',
  'DTC_TOO_MANY_BRANCHES',
  'DTC_TWO_LAST_RESOURCES',
]);

/**
 * Refusals of a member that has no room, or is about to stop: a later try, or another member, may do better.
 */
const PASSING = new Set([
  'DTC_FENCED',
  'DTC_LOG_UNAVAILABLE',
  'DTC_OVERLOADED',
  'DTC_REQUEST_REFUSED',
  'DTC_SHUTTING_DOWN',
]);

const NOT_ASKED = 'no member was asked';

/** A member, and what it has answered. */
export interface Answered {
  readonly member: Member;
  readonly body: unknown;
}

/** The key that a caller has given to its request. */
export interface GivenKey {
  readonly key?: string | undefined;
  /** The run that the request was sent to before: no other one may do it. */
  readonly ofRun?: string | undefined;
}

/** The answer to a request with a key. */
export interface KeyedAnswer extends Answered {
  readonly key: string;
  /** The run that the request was for; undefined where the members share a log. */
  readonly ofRun: string | undefined;
}

/** The members of one coordinator. A request goes to one of them, and after a failure to the next. */
export class Members {
  private readonly members: readonly Member[];
  /** The member that has answered last. */
  private preferred = 0;
  private isClosed = false;
  /** The log of the coordinator, once a member has told it. */
  private logId: string | undefined;

  constructor(
    private readonly options: ResolvedClientOptions,
    private readonly now: () => number = () => performance.now(),
    private readonly random: () => number = Math.random,
  ) {
    const { members, token, maxConnections, maxAnswerBytes, tls } = options;
    const limits = { maxConnections, maxAnswerBytes, tls };
    this.members = members.map((address) => new Member(address, token, limits));
  }

  /** @returns the time at which a request that begins now is given up. */
  deadline(): number {
    return this.now() + this.options.giveUpAfterMs;
  }

  /** Whether there is time for another try. */
  hasTime(deadline: number): boolean {
    return !this.isClosed && this.now() < deadline;
  }

  /** Ends every connection. Waiting requests are not tried again. */
  close(): void {
    this.isClosed = true;
    for (const member of this.members) member.close();
  }

  /**
   * Sends a request with a key, until a member has answered it. No answer of it is lost for good: the key is
   * the same at each try.
   *
   * @throws (as a rejection) CoordinatorRefusedError, CoordinatorUnreachableError: nothing was begun.
   * RequestOutcomeUnknownError: it may have been done.
   */
  async once(request: MemberRequest, given: GivenKey = {}): Promise<KeyedAnswer> {
    const state: KeyedTries = {
      key: given.key ?? randomUUID(),
      isGiven: given.key !== undefined,
      mayBeDone: given.ofRun !== undefined,
      run: given.ofRun,
      problem: NOT_ASKED,
    };
    const deadline = this.deadline();
    for (let round = 0; this.hasTime(deadline); round++) {
      const refusals: CoordinatorRefusedError[] = [];
      for (const member of this.inOrder()) {
        if (!this.hasTime(deadline)) break;
        const answer = await this.tryOnce(member, request, state, deadline);
        if (answer instanceof CoordinatorRefusedError) refusals.push(answer);
        else if (answer !== undefined) return { ...answer, key: state.key, ofRun: state.run };
      }
      // No other member could be asked, and none can have done it before.
      if (!state.mayBeDone && refusals.length > 0) throw refusals[0]!;
      await this.pause(round, deadline);
    }
    if (state.mayBeDone) throw unknownOutcome(state);
    throw new CoordinatorUnreachableError(state.problem);
  }

  /**
   * One try at one member.
   *
   * @returns undefined when another try may help.
   */
  private async tryOnce(
    member: Member,
    request: MemberRequest,
    state: KeyedTries,
    deadline: number,
  ): Promise<Answered | CoordinatorRefusedError | undefined> {
    const greeting = await member.greet(this.attemptMs(deadline));
    if ('kind' in greeting) {
      this.note(state, problemIn(greeting), deadline);
      return refusalIn(greeting, state);
    }
    if (this.isOther(greeting.logId)) {
      state.problem = `${member.address} is a member of another coordinator`;
      return undefined;
    }
    // Keys of a log that is not shared end with the run. A try for it must not be done by a later run.
    if (!greeting.isShared) state.run ??= greeting.run;
    const headers = {
      ...request.headers,
      [REQUEST_KEY_HEADER]: state.key,
      ...(state.run !== undefined && { [RUN_HEADER]: state.run }),
    };
    const tried = await member.ask({ ...request, headers }, this.attemptMs(deadline));
    if (tried.kind !== 'answered') {
      state.mayBeDone ||= tried.kind === 'lost';
      this.note(state, tried.problem, deadline);
      return undefined;
    }
    if (tried.status < 400) return this.answered(member, tried.body);
    const refusal = refusalOf(tried);
    state.problem = refusal.message;
    if (refusal.code === 'DTC_OTHER_RUN') {
      member.forgetGreeting();
      // An earlier call may have sent a key of the caller to that run, and a later run would do it again.
      if (state.mayBeDone || state.isGiven) {
        state.problem = 'the coordinator was restarted meanwhile, and no longer knows the keys of that run';
        throw unknownOutcome(state);
      }
      state.run = undefined;
      return undefined;
    }
    if (refusal.status === 503) return refusal;
    if (state.mayBeDone && !REFUSED_FOR_CONTENT.has(refusal.code)) {
      throw unknownOutcome(state);
    }
    throw refusal;
  }

  /**
   * Sends a request that may be repeated at will, until a member has answered it.
   *
   * @param first the member to ask first, such as the one that has begun the transaction.
   * @returns undefined when there is no answer in time.
   * @throws (as a rejection) CoordinatorRefusedError for a refusal of a member that knows.
   */
  async any(
    request: MemberRequest,
    first?: Member,
    deadline = this.deadline(),
  ): Promise<Answered | undefined> {
    let owner = first;
    for (let round = 0; this.hasTime(deadline); round++) {
      let refusal: CoordinatorRefusedError | undefined;
      for (const member of this.inOrder(owner)) {
        if (!this.hasTime(deadline)) break;
        const tried = await member.ask(request, this.attemptMs(deadline));
        if (tried.kind !== 'answered') continue;
        if (tried.status < 400) return this.answered(member, tried.body);
        refusal = refusalOf(tried);
        if (refusal.code === 'DTC_OTHER_MEMBER') owner = this.named(tried.body) ?? owner;
        else if (refusal.status !== 503 || !PASSING.has(refusal.code)) throw refusal;
      }
      await this.pause(round, deadline);
    }
    return undefined;
  }

  /** Sends a request once to one member. */
  askAt(member: Member, request: MemberRequest, deadline: number): Promise<Tried> {
    return member.ask(request, this.attemptMs(deadline));
  }

  /**
   * @returns the member whose address another one has named, if it is one of the configured ones: no other
   * gets the token.
   */
  private named(problem: unknown): Member | undefined {
    const address = problemSchema.safeParse(problem).data?.member?.address;
    if (typeof address !== 'string' || !URL.canParse(address)) return undefined;
    const { origin } = new URL(address);
    return this.members.find((member) => member.origin === origin);
  }

  /**
   * The last attempt may end only because all time is used up: the problem of the attempt before says more.
   */
  private note(state: KeyedTries, problem: string, deadline: number): void {
    if (state.problem === NOT_ASKED || this.hasTime(deadline)) state.problem = problem;
  }

  private answered(member: Member, body: unknown): Answered {
    this.preferred = this.members.indexOf(member);
    return { member, body };
  }

  private inOrder(first?: Member): Member[] {
    const from = first === undefined ? this.preferred : this.members.indexOf(first);
    return [...this.members.slice(from), ...this.members.slice(0, from)];
  }

  /** Two coordinators would each run the same request. */
  private isOther(logId: string): boolean {
    this.logId ??= logId;
    return this.logId !== logId;
  }

  private attemptMs(deadline: number): number {
    return Math.min(this.options.attemptTimeoutMs, deadline - this.now());
  }

  async pause(round: number, deadline: number): Promise<void> {
    const { retryBaseMs, retryCapMs } = this.options;
    const longest = Math.min(retryCapMs, retryBaseMs * 2 ** Math.min(round, 20));
    const ms = Math.min(1 + this.random() * longest, deadline - this.now());
    if (ms > 0) await delay(ms);
  }
}

/** The results of the attempts of one keyed request. */
interface KeyedTries {
  readonly key: string;
  /** Whether the caller has given the key, so that it may have sent it before. */
  readonly isGiven: boolean;
  mayBeDone: boolean;
  /** The run that all tries are for; undefined while any will do. */
  run: string | undefined;
  problem: string;
}

/** @returns the refusal in an answer of 400 or more. */
export function refusalOf({
  status,
  body,
  retryAfterMs,
}: Extract<Tried, { kind: 'answered' }>): CoordinatorRefusedError {
  const { code = 'DTC_REQUEST_REFUSED', detail = `The coordinator answers with status ${status}.` } =
    problemSchema.safeParse(body).data ?? {};
  return new CoordinatorRefusedError(code, status, detail, retryAfterMs);
}

/**
 * @returns the refusal, where a member has not even told who it is; a token that is wrong is wrong at each
 * try.
 */
function refusalIn(tried: Tried, state: KeyedTries): CoordinatorRefusedError | undefined {
  if (tried.kind !== 'answered') return undefined;
  const refusal = refusalOf(tried);
  if (refusal.status !== 503) throw state.mayBeDone ? unknownOutcome(state) : refusal;
  return refusal;
}

function unknownOutcome({ key, problem, run }: KeyedTries): RequestOutcomeUnknownError {
  return new RequestOutcomeUnknownError(key, problem, run);
}

function problemIn(tried: Tried): string {
  return tried.kind === 'answered' ? `status ${tried.status}` : tried.problem;
}
