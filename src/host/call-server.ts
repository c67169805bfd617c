import { failureOf } from '../coordinator/gate/failure.js';
import { describeAnswer } from '../coordinator/gate/texts.js';
import { GuardRunError, type ReplicaGuardStore, voteIn } from '../coordinator/guard/index.js';
import type { CoordinatorRun } from '../coordinator/participant/participant.js';
import { VERSION } from '../coordinator/version.js';
import {
  type BranchCall,
  type CallAnswer,
  type ClaimCall,
  type ForgetCall,
  type IncomingMessage,
  MAX_ANSWER_BYTES,
  MAX_LISTED,
  type RecoverCall,
  type WireAnswer,
  type WireCall,
  type WireRun,
  keyOfListed,
  sentPayload,
} from '../remote/wire/index.js';
import { type CallAtWork, CallsAtWork } from './calls-at-work.js';
import type { HostLog } from './host-log.js';
import type { HostMeasurements } from './measurements.js';
import type { RunsOfHost } from './runs.js';
import { ServedBranch } from './served-branch.js';
import { ServedMessage } from './served-message.js';
import type { ServedParticipant } from './served-participant.js';
import { traced } from './tracing.js';

/** A page of a list leaves room for its frame. */
const MAX_PAGE_BYTES = MAX_ANSWER_BYTES - 16 * 1024;

interface ServerParts {
  readonly participants: ReadonlyMap<string, ServedParticipant>;
  readonly store: ReplicaGuardStore;
  readonly runs: RunsOfHost;
  readonly measurements: HostMeasurements;
  readonly log: HostLog;
  readonly maxCalls: number;
  /** The names of the coordinators that may call; every name when there is none. */
  readonly coordinators: readonly string[];
}

/** The places of one participant: calls that hang leave the others theirs. */
interface Places {
  taken: number;
}

/** The participant of the calls of one message, and their run. */
interface Addressee {
  readonly participant: ServedParticipant;
  readonly run: CoordinatorRun;
  readonly places: Places;
}

/** Answers the calls of coordinators, whichever transport has brought them. */
export class CallServer {
  private readonly places = new Map<string, Places>();
  private readonly calls = new CallsAtWork();
  /** The number of calls at work. */
  atWork = 0;
  /** The prepares at work, by participant and branch. */
  private readonly preparing = new Map<string, ServedBranch>();
  private isStopping = false;
  /** Told when no call is at work. */
  private idle: (() => void)[] = [];

  constructor(private readonly parts: ServerParts) {}

  /**
   * Serves the calls of one message, all at once.
   *
   * @param send takes each answer as soon as it is known.
   * @returns a promise that resolves when all calls are answered.
   */
  serve({ participant, run, calls }: IncomingMessage, send: (answer: WireAnswer) => void): Promise<void> {
    const { measurements } = this.parts;
    const message = new ServedMessage(calls.length, send, ({ method, startedAt }, answer) =>
      measurements.ended(participant, method, answer, performance.now() - startedAt),
    );
    const addressee = this.addresseeOf(participant, run);
    calls.forEach((call, id) => {
      if ('problem' in call) message.answer(id, failed('DTC_WIRE_INVALID', call.problem));
      else if ('kind' in addressee) message.answer(id, addressee);
      else this.begin(message, addressee, id, call);
    });
    return message.answered;
  }

  /** Refuses new calls from now on, and waits for the running ones. */
  async stop(graceMs: number): Promise<void> {
    this.isStopping = true;
    let timer: NodeJS.Timeout | undefined;
    const graceEnd = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)));
    await Promise.race([this.whenIdle(), graceEnd]);
    clearTimeout(timer);
  }

  private whenIdle(): Promise<void> {
    if (this.atWork === 0) return Promise.resolve();
    return new Promise((resolve) => this.idle.push(resolve));
  }

  /** @returns the answer to every call of the message when none of them may be made. */
  private addresseeOf(name: string, run: WireRun): Addressee | CallAnswer {
    const participant = this.parts.participants.get(name);
    if (participant === undefined) {
      return failed('DTC_UNKNOWN_PARTICIPANT', `no participant "${name}" is served here: check its address`);
    }
    const { coordinators } = this.parts;
    if (coordinators.length > 0 && !coordinators.includes(run.name)) {
      return failed(
        'DTC_COORDINATOR_REFUSED',
        `the coordinator "${run.name}" may not call this host: add it to the option coordinators`,
      );
    }
    if (this.isStopping) return { kind: 'try-again', reason: 'the host is about to stop' };
    const places = this.places.get(name) ?? { taken: 0 };
    this.places.set(name, places);
    return { participant, run: this.parts.runs.of(run), places };
  }

  private begin(message: ServedMessage, addressee: Addressee, id: number, call: WireCall): void {
    const { places } = addressee;
    const { name } = addressee.participant;
    const { maxCalls } = this.parts;
    if (places.taken >= maxCalls) {
      const reason = `the host is at work on ${maxCalls} calls of "${name}"`;
      message.answer(id, { kind: 'try-again', reason });
      return;
    }
    const { method, timeLeftMs } = call;
    const startedAt = performance.now();
    const dueAt = startedAt + timeLeftMs;
    const atWork: CallAtWork = { id, method, startedAt, dueAt, branch: undefined, message };
    this.calls.begin(atWork, startedAt);
    places.taken++;
    this.atWork++;
    // Work that ignores its signal keeps its place until it ends.
    traced(this.parts.log, name, call, () => this.make(addressee, call, atWork)).then(
      (answer) => {
        this.parts.log.answered(name, call, answer);
        this.ended(places);
        this.calls.end(atWork, answer);
      },
      (error: unknown) => {
        this.ended(places);
        this.calls.fail(atWork, error);
      },
    );
  }

  private ended(places: Places): void {
    places.taken--;
    this.atWork--;
    if (this.atWork > 0) return;
    for (const tell of this.idle.splice(0)) tell();
  }

  /** It never rejects. */
  private async make(
    { participant, run, places }: Addressee,
    call: WireCall,
    atWork: CallAtWork,
  ): Promise<CallAnswer> {
    try {
      switch (call.method) {
        case 'prepare':
          return await this.prepare(participant, call, (atWork.branch = new ServedBranch(call, run)));
        case 'commitOnePhase':
          return voteOf(await participant.commitOnePhase((atWork.branch = new ServedBranch(call, run))));
        case 'commit':
          await participant.commit((atWork.branch = new ServedBranch(call, run)));
          return { kind: 'done' };
        case 'rollback':
          this.preparing.get(keyAt(participant, call))?.stop(new Error('the branch is rolled back'));
          await participant.rollback((atWork.branch = new ServedBranch(call, run)));
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
            host: {
              version: VERSION,
              // Without this call.
              atWork: places.taken - 1,
              ...this.parts.measurements.callsTo(participant.name),
            },
          };
      }
    } catch (error) {
      return answerTo(error);
    }
  }

  private async prepare(
    participant: ServedParticipant,
    call: BranchCall,
    branch: ServedBranch,
  ): Promise<CallAnswer> {
    const key = keyAt(participant, call);
    // A repeated prepare joins the first one, whose rollback stops both.
    if (!this.preparing.has(key)) this.preparing.set(key, branch);
    try {
      return voteOf(await participant.prepare(branch));
    } finally {
      if (this.preparing.get(key) === branch) this.preparing.delete(key);
    }
  }

  /** @throws GuardRunError for a run that no participant here would serve; RangeError for marks that are not its own to give. */
  private async forget(run: CoordinatorRun, { marks }: ForgetCall): Promise<CallAnswer> {
    const { logId, epoch: own, token } = run;
    for (const { epoch, sequence } of marks) {
      if (epoch === own || (epoch === 0 && sequence < own)) continue;
      throw new RangeError(`the mark ${sequence} of epoch ${epoch} is not one of a run with epoch ${own}`);
    }
    // The run of a copied log knows nothing of the transactions of the original.
    if ((await this.parts.store.admitRun(run)) !== token) throw new GuardRunError(run);
    // A replica may forget only what every replica refuses.
    await this.parts.store.raise(logId, marks);
    this.parts.runs.raise(logId, marks);
    return { kind: 'done' };
  }
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
