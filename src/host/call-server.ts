import { failureOf } from '../coordinator/gate/failure.js';
import { describeAnswer } from '../coordinator/gate/texts.js';
import { type ReplicaGuardStore, voteIn } from '../coordinator/guard/index.js';
import type { Branch, CoordinatorRun } from '../coordinator/participant/participant.js';
import {
  type BranchCall,
  type CallAnswer,
  type ClaimCall,
  type ForgetCall,
  type IncomingMessage,
  MAX_ANSWER_BYTES,
  MAX_LISTED,
  type RecoverCall,
  type UnreadableCall,
  type WireAnswer,
  type WireCall,
  type WireRun,
  keyOfListed,
  sentPayload,
} from '../remote/wire/index.js';
import type { HostMeasurements } from './measurements.js';
import type { RunsOfHost } from './runs.js';
import type { ServedParticipant } from './served-participant.js';
import { traced } from './tracing.js';

/** A page of a list leaves room for its frame. */
const MAX_PAGE_BYTES = MAX_ANSWER_BYTES - 16 * 1024;

interface ServerParts {
  readonly participants: ReadonlyMap<string, ServedParticipant>;
  readonly store: ReplicaGuardStore;
  readonly runs: RunsOfHost;
  readonly measurements: HostMeasurements;
  readonly maxCalls: number;
  /** The names of the coordinators that may call; every name when there is none. */
  readonly coordinators: readonly string[];
}

/** Answers the calls of coordinators, whichever transport has brought them. */
export class CallServer {
  /** The calls at work, by participant: one that hangs leaves the others their places. */
  private readonly running = new Map<string, Set<Promise<void>>>();
  /** The prepares at work, by participant and branch. */
  private readonly preparing = new Map<string, AbortController>();
  private isStopping = false;

  constructor(private readonly parts: ServerParts) {}

  /** The number of calls at work. */
  get atWork(): number {
    return [...this.running.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /**
   * Serves the calls of one message, all at once.
   *
   * @param send takes each answer as soon as it is known.
   * @returns a promise that resolves when all calls are answered.
   */
  async serve(
    { participant, run, calls }: IncomingMessage,
    send: (answer: WireAnswer) => void,
  ): Promise<void> {
    await Promise.all(
      calls.map(async (call, id) => {
        const answer = await this.answer(participant, run, call);
        // The number of the call belongs to every kind of answer.
        send({ id, ...answer });
      }),
    );
  }

  /** Refuses new calls from now on, and waits for the running ones. */
  async stop(graceMs: number): Promise<void> {
    this.isStopping = true;
    let timer: NodeJS.Timeout | undefined;
    const graceEnd = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)));
    await Promise.race([
      Promise.all(Array.from(this.running.values(), (calls) => Promise.all(calls))),
      graceEnd,
    ]);
    clearTimeout(timer);
  }

  private async answer(name: string, run: WireRun, call: WireCall | UnreadableCall): Promise<CallAnswer> {
    if ('problem' in call) return failed('DTC_WIRE_INVALID', call.problem);
    const participant = this.parts.participants.get(name);
    if (participant === undefined) {
      return failed('DTC_UNKNOWN_PARTICIPANT', `no participant "${name}" is served here: check its address`);
    }
    const { coordinators, maxCalls, measurements } = this.parts;
    if (coordinators.length > 0 && !coordinators.includes(run.name)) {
      return failed(
        'DTC_COORDINATOR_REFUSED',
        `the coordinator "${run.name}" may not call this host: add it to the option coordinators`,
      );
    }
    if (this.isStopping) return { kind: 'try-again', reason: 'the host is about to stop' };
    const running = this.runningOf(name);
    if (running.size >= maxCalls)
      return { kind: 'try-again', reason: `the host is at work on ${maxCalls} calls of "${name}"` };
    const startedAt = performance.now();
    const work = traced(name, call, () => this.make(participant, this.parts.runs.of(run), call));
    // Work that ignores its signal keeps its place until it ends.
    const over = work.then(() => void running.delete(over));
    running.add(over);
    const answer = await inTime(work, call.timeLeftMs);
    measurements.ended(name, call.method, answer.kind, performance.now() - startedAt);
    return answer;
  }

  private runningOf(name: string): Set<Promise<void>> {
    const running = this.running.get(name) ?? new Set();
    this.running.set(name, running);
    return running;
  }

  /** It never rejects. */
  private async make(
    participant: ServedParticipant,
    run: CoordinatorRun,
    call: WireCall,
  ): Promise<CallAnswer> {
    try {
      switch (call.method) {
        case 'prepare':
          return await this.prepare(participant, run, call);
        case 'commitOnePhase':
          return voteOf(await participant.commitOnePhase(branchOf(call, run)));
        case 'commit':
          await participant.commit(branchOf(call, run));
          return { kind: 'done' };
        case 'rollback':
          this.preparing.get(keyAt(participant, call))?.abort(new Error('the branch is rolled back'));
          await participant.rollback(branchOf(call, run));
          return { kind: 'done' };
        case 'claim':
          return await claim(participant, run, call);
        case 'recover':
          return await list(participant, run, call);
        case 'forgetBelow':
          return await this.forget(run, call);
        case 'capabilities':
          return {
            kind: 'capabilities',
            participant: participant.name,
            onePhase: true,
            durable: participant.durable,
          };
      }
    } catch (error) {
      return answerTo(error);
    }
  }

  private async prepare(
    participant: ServedParticipant,
    run: CoordinatorRun,
    call: BranchCall,
  ): Promise<CallAnswer> {
    const key = keyAt(participant, call);
    const stop = new AbortController();
    const branch = branchOf(call, run);
    // A repeated prepare joins the first one, whose rollback stops both.
    if (!this.preparing.has(key)) this.preparing.set(key, stop);
    try {
      const signal = AbortSignal.any([branch.signal, stop.signal]);
      return voteOf(await participant.prepare({ ...branch, signal }));
    } finally {
      if (this.preparing.get(key) === stop) this.preparing.delete(key);
    }
  }

  private async forget({ logId }: CoordinatorRun, { marks }: ForgetCall): Promise<CallAnswer> {
    // A replica may forget only what every replica refuses.
    await this.parts.store.raise(logId, marks);
    this.parts.runs.raise(logId, marks);
    return { kind: 'done' };
  }
}

/** @returns the answer of the work, or `try-again` when the time of its call is over first. */
async function inTime(work: Promise<CallAnswer>, timeLeftMs: number): Promise<CallAnswer> {
  let timer: NodeJS.Timeout | undefined;
  const timeOver = new Promise<CallAnswer>((resolve) => {
    const reason = 'the participant is still at work, and the time of the call is over';
    timer = setTimeout(resolve, timeLeftMs, { kind: 'try-again', reason });
  });
  try {
    return await Promise.race([work, timeOver]);
  } finally {
    clearTimeout(timer);
  }
}

function branchOf(
  { transactionId, branchId, payload, timeLeftMs, attempt }: BranchCall,
  run: CoordinatorRun,
): Branch {
  const signal = AbortSignal.timeout(timeLeftMs);
  return { transactionId, branchId, payload, deadline: Date.now() + timeLeftMs, signal, attempt, run };
}

function keyAt({ name }: ServedParticipant, call: BranchCall): string {
  return `${name}/${keyOfListed(call)}`;
}

function voteOf(answer: unknown): CallAnswer {
  const vote = voteIn(answer);
  if (vote === undefined)
    return { kind: 'error', reason: `it answered ${describeAnswer(answer)}, which is not a vote` };
  return { kind: 'vote', vote };
}

/** The participant asks about earlier runs through the answers that its coordinator has sent along. */
async function claim(
  participant: ServedParticipant,
  run: CoordinatorRun,
  { answers }: ClaimCall,
): Promise<CallAnswer> {
  const questions: { epoch: number; token: string }[] = [];
  const isOwnRun = async (epoch: number, token: string): Promise<boolean> => {
    const known = answers.find((answer) => answer.epoch === epoch && answer.token === token);
    if (known !== undefined) return known.isOwn;
    questions.push({ epoch, token });
    throw new Error('the coordinator has to say first whether its log knows an earlier run');
  };
  try {
    await participant.claim(run, isOwnRun);
    return { kind: 'done' };
  } catch (error) {
    if (questions.length > 0) return { kind: 'ask', questions };
    throw error;
  }
}

async function list(
  participant: ServedParticipant,
  run: CoordinatorRun,
  { after }: RecoverCall,
): Promise<CallAnswer> {
  const found = await participant.list(run, after && keyOfListed(after));
  const branches = [];
  let bytes = 0;
  for (const { transactionId, branchId, payload } of found) {
    const sent = sentPayload(payload);
    if (!('text' in sent)) throw new Error(`the ${sent.path} of ${transactionId} ${sent.problem}`);
    bytes += transactionId.length + branchId.length + Buffer.byteLength(sent.text ?? '') + 100;
    if (branches.length === MAX_LISTED || (bytes > MAX_PAGE_BYTES && branches.length > 0)) {
      return { kind: 'branches', branches, more: true };
    }
    branches.push({ transactionId, branchId, payload });
  }
  return { kind: 'branches', branches, more: false };
}

function answerTo(error: unknown): CallAnswer {
  const { heuristic, code, message } = failureOf(error);
  if (heuristic !== undefined) return { kind: 'heuristic', heuristic, reason: message };
  if (code === 'DTC_TRY_AGAIN') return { kind: 'try-again', reason: message };
  return { kind: 'error', ...(code !== undefined && { code }), reason: message };
}

function failed(code: string, reason: string): CallAnswer {
  return { kind: 'error', code, reason: reason.slice(0, 1_000) };
}
