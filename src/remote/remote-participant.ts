import {
  type Branch,
  type CoordinatorRun,
  HeuristicError,
  InvalidRequestError,
  type IsOwnRun,
  type OnePhaseAnswer,
  type PreparedBranch,
  type RemoteContact,
  type TransactionParticipant,
  UnknownParticipantError,
  type Vote,
} from '../coordinator/index.js';
import { activeTrace } from '../coordinator/observation/tracing/trace-context.js';
import { CallLane, type CallToSend, type LaneLimits } from './call-lane.js';
import { ParticipantUnreachableError, RemoteParticipantError } from './errors.js';
import { HostContact, momentOf } from './host-contact.js';
import type { CallKind, ParticipantTransport } from './transport.js';
import { type CallAnswer, MAX_QUESTIONS, type WireRun, keyOfListed, sentPayload } from './wire/index.js';

/** More pages are not read: see the limit of the coordinator for one list. */
const MAX_PAGES = 2_001;

/** The most memory that one list may take, in bytes of JSON. */
const MAX_LIST_BYTES = 64 * 1024 * 1024;

/** The limits of one remote participant. */
export interface RemoteLimits extends LaneLimits {
  readonly maxPayloadBytes: number;
  /** How long a claim, and each page of a list, may take, in milliseconds. */
  readonly adminTimeoutMs: number;
  /** The most memory that one list may take, in bytes of JSON. @default 67_108_864 */
  readonly maxListBytes?: number;
}

/** A participant in another process, as the coordinator calls it. */
export class RemoteParticipant implements TransactionParticipant {
  /** Its branches are in another process. */
  readonly preparesDurably = true;
  /** Set when it takes no more branches. Those that it has are completed. */
  isRemoved = false;
  private readonly work: CallLane;
  private readonly completion: CallLane;
  private readonly administration: CallLane;
  /** The JSON of payloads, from the check on. */
  private readonly texts = new WeakMap<object, string>();
  private run: CoordinatorRun | undefined;
  /** The run of the latest call, and what is sent of it. */
  private sent: { readonly run: CoordinatorRun; readonly wire: WireRun } | undefined;

  /** What is known of the host at which it is reached now. */
  private host: HostContact;
  private looking: Promise<void> | undefined;

  constructor(
    readonly name: string,
    transport: ParticipantTransport,
    private readonly limits: RemoteLimits,
  ) {
    this.host = new HostContact(transport);
    const lane = (kind: CallKind): CallLane => new CallLane(name, () => this.host, limits, kind);
    // A prepare that hangs leaves the completions their places.
    [this.work, this.completion, this.administration] = [
      lane('work'),
      lane('completion'),
      lane('administration'),
    ];
  }

  /** Where it is reached now. The log keeps it with each branch. */
  get remoteAddress(): string {
    return this.host.transport.address;
  }

  get remoteContact(): RemoteContact {
    const { answeredAt, failure, host } = this.host;
    return {
      ...this.load,
      answeredAt: answeredAt === undefined ? null : momentOf(answeredAt),
      failure: failure === undefined ? null : { at: momentOf(failure.at), problem: failure.problem },
      ...(host !== undefined && { host }),
    };
  }

  /** The calls in flight and in the queue. */
  get load(): { readonly inFlight: number; readonly queued: number } {
    const loads = this.lanes.map(({ load }) => load);
    return {
      inFlight: loads.reduce((sum, { inFlight }) => sum + inFlight, 0),
      queued: loads.reduce((sum, { queued }) => sum + queued, 0),
    };
  }

  private get lanes(): readonly CallLane[] {
    return [this.work, this.completion, this.administration];
  }

  /** Calls go to another address from now on, also those of branches in doubt. Of the host there nothing is known yet. */
  moveTo(transport: ParticipantTransport): ParticipantTransport {
    const before = this.host.transport;
    this.host = new HostContact(transport);
    this.lookSoon();
    return before;
  }

  /** Asks the host what it is, for people: no call waits for it, and nothing depends on the answer. */
  lookSoon(): void {
    if (this.run === undefined) return;
    this.looking ??= this.look(this.run).finally(() => {
      this.looking = undefined;
    });
  }

  /** @returns a promise that resolves when the host is not being asked what it is. */
  async looked(): Promise<void> {
    await this.looking;
  }

  private async look(run: CoordinatorRun): Promise<void> {
    for (;;) {
      const { host } = this;
      // Why it has not answered is in its contact.
      const answer = await this.administer(run, { method: 'capabilities' }).catch(() => undefined);
      if (host !== this.host) continue;
      if (answer?.kind === 'capabilities') host.heard(answer);
      return;
    }
  }

  /** @throws InvalidRequestError with the path of the field that cannot be sent. */
  checkPayload(payload: unknown): void {
    if (this.isRemoved) throw new UnknownParticipantError(this.name, []);
    const sent = sentPayload(payload, this.limits.maxPayloadBytes);
    if (!('text' in sent)) {
      throw new InvalidRequestError(
        sent.path,
        `${sent.problem}, so it cannot be sent to "${this.name}", which is in another process`,
      );
    }
    if (typeof payload === 'object' && payload !== null) this.texts.set(payload, sent.text!);
  }

  async prepare(branch: Branch): Promise<Vote> {
    const answer = await this.call(this.work, 'prepare', branch, branch);
    if (answer.kind === 'vote') return answer.vote as Vote;
    throw this.failure(answer);
  }

  async commitOnePhase(branch: Branch): Promise<OnePhaseAnswer> {
    const answer = await this.call(this.work, 'commitOnePhase', branch);
    if (answer.kind === 'vote') return answer.vote as OnePhaseAnswer;
    throw this.failure(answer);
  }

  async commit(branch: Branch): Promise<void> {
    await this.complete('commit', branch);
  }

  async rollback(branch: Branch): Promise<void> {
    await this.complete('rollback', branch);
  }

  async claim(run: CoordinatorRun, isOwnRun: IsOwnRun): Promise<void> {
    this.run = run;
    const known: { epoch: number; token: string; isOwn: boolean }[] = [];
    while (known.length <= MAX_QUESTIONS) {
      const answer = await this.administer(run, { method: 'claim', answers: [...known] });
      if (answer.kind === 'done') {
        this.lookSoon();
        return;
      }
      if (answer.kind !== 'ask') throw this.failure(answer);
      for (const { epoch, token } of answer.questions) {
        known.push({ epoch, token, isOwn: await isOwnRun(epoch, token) });
      }
    }
    throw new ParticipantUnreachableError(this.name, 'it does not stop to ask about earlier runs');
  }

  async recover(run = this.run): Promise<readonly PreparedBranch[]> {
    if (run === undefined) throw new ParticipantUnreachableError(this.name, 'no run has claimed it');
    const found: PreparedBranch[] = [];
    const { maxListBytes: maxBytes = MAX_LIST_BYTES } = this.limits;
    let bytes = 0;
    for (let page = 0; page < MAX_PAGES; page++) {
      const last = found.at(-1);
      const after = last && { transactionId: last.transactionId, branchId: last.branchId };
      const answer = await this.administer(run, { method: 'recover', ...(after && { after }) });
      if (answer.kind !== 'branches') throw this.failure(answer);
      if (after !== undefined && answer.branches.some((one) => keyOfListed(one) <= keyOfListed(after)))
        throw new ParticipantUnreachableError(this.name, 'its list of branches is not in order');
      bytes += Buffer.byteLength(JSON.stringify(answer.branches));
      if (bytes > maxBytes)
        throw new ParticipantUnreachableError(this.name, `its list has more than ${maxBytes} bytes`);
      found.push(...answer.branches);
      if (!answer.more) return found;
      if (answer.branches.length === 0) break;
    }
    throw new ParticipantUnreachableError(this.name, 'its list of branches does not end');
  }

  /** The run that the participant has been offered; undefined before. */
  get claimedRun(): CoordinatorRun | undefined {
    return this.run;
  }

  /** Tells the host of which transactions no call comes any more. */
  async announceMarks(): Promise<void> {
    const { run } = this;
    const marks = run?.lowWaterMarks?.() ?? [];
    if (run === undefined || marks.length === 0) return;
    const answer = await this.administer(run, { method: 'forgetBelow', marks: [...marks] });
    if (answer.kind !== 'done') throw this.failure(answer);
  }

  private async complete(method: 'commit' | 'rollback', branch: Branch): Promise<void> {
    const answer = await this.call(this.completion, method, branch);
    if (answer.kind !== 'done') throw this.failure(answer);
  }

  private call(
    lane: CallLane,
    method: 'prepare' | 'commit' | 'rollback' | 'commitOnePhase',
    branch: Branch,
    waits?: Branch,
  ): Promise<CallAnswer> {
    const { transactionId, branchId, payload, attempt, deadline, run, requestId } = branch;
    const trace = activeTrace();
    const call: CallToSend = {
      method,
      transactionId,
      branchId,
      attempt,
      payloadText: this.textOf(payload),
      traceparent: trace?.traceparent,
      tracestate: trace?.tracestate,
      requestId,
    };
    // The branch has its deadline on a clock that can be set.
    return lane.call(this.wireRunOf(run), call, performance.now() + (deadline - Date.now()), waits);
  }

  /** @returns the same object for the same run. */
  private wireRunOf(run: CoordinatorRun): WireRun {
    if (this.sent?.run !== run) this.sent = { run, wire: wireRun(run) };
    return this.sent.wire;
  }

  private administer(run: CoordinatorRun, call: CallToSend): Promise<CallAnswer> {
    const deadline = performance.now() + this.limits.adminTimeoutMs;
    return this.administration.call(this.wireRunOf(run), { ...call, ...activeTrace() }, deadline);
  }

  private textOf(payload: unknown): string | undefined {
    const known = typeof payload === 'object' && payload !== null ? this.texts.get(payload) : undefined;
    if (known !== undefined) return known;
    const sent = sentPayload(payload, Infinity);
    if ('text' in sent) return sent.text;
    throw new InvalidRequestError(sent.path, sent.problem);
  }

  /** @returns the error of an answer that is none to the question. */
  private failure(answer: CallAnswer): Error {
    switch (answer.kind) {
      case 'heuristic':
        return new HeuristicError(answer.heuristic, answer.reason);
      case 'error':
        return new RemoteParticipantError(this.name, answer.reason, answer.code ?? 'DTC_REMOTE_FAILURE');
      case 'try-again':
        return new ParticipantUnreachableError(this.name, answer.reason);
      case 'vote':
      case 'done':
      case 'ask':
      case 'branches':
      case 'capabilities':
        return new ParticipantUnreachableError(this.name, `it answered "${answer.kind}"`);
    }
  }
}

function wireRun({ name, logId, epoch, token, durable, isShared }: CoordinatorRun): WireRun {
  return { name, logId, epoch, token, durable, ...(isShared === true && { isShared }) };
}
