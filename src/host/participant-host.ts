import {
  Inject,
  Injectable,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { endInTurn } from '../coordinator/end-all.js';
import { DuplicateParticipantError, InvalidParticipantError } from '../coordinator/errors.js';
import { LogLine } from '../coordinator/gate/log-line.js';
import { SafeLogger } from '../coordinator/gate/safe-logger.js';
import { messageOf, oneLine } from '../coordinator/gate/texts.js';
import {
  type GuardedBranch,
  type LateWork,
  MemoryReplicaGuardStore,
  type ReplicaGuardStore,
} from '../coordinator/guard/index.js';
import { checkMethods } from '../coordinator/participant/participant-methods.js';
import { ParticipantAccessor } from '../coordinator/participant/participant.accessor.js';
import { VERSION } from '../coordinator/version.js';
import { within } from '../coordinator/within.js';
import { type IncomingMessage, MAX_LISTED, type WireAnswer } from '../remote/wire/index.js';
import { CallServer } from './call-server.js';
import { CallerCheck, type CallerRefusal } from './caller-check.js';
import { CoordinatorContact } from './coordinator-contact.js';
import { HostLog } from './host-log.js';
import { type HostCount, HostMeasurements } from './measurements.js';
import type { ResolvedHostOptions } from './options.js';
import { RunsOfHost } from './runs.js';
import { type ServedParticipant, serve } from './served-participant.js';

/** How long a decision that was asked for may take. */
const DECISION_MS = 5_000;
/** How long a stop waits for brokers that should send no further message. */
const LEAVE_MS = 2_000;

export const HOST_OPTIONS = Symbol('HOST_OPTIONS');

/** The state of a host. @publicApi */
export interface ParticipantHostView {
  /** `stopping` while it finishes its calls and refuses new ones. */
  readonly status: 'serving' | 'stopping';
  /** The version of this package. Coordinators are told it as well. */
  readonly version: string;
  readonly participants: readonly string[];
  /** The calls at work. */
  readonly atWork: number;
  readonly counts: readonly HostCount[];
  /** How often a logger, a tracer or a meter of the application has thrown. Calls go on without it. */
  readonly defects: number;
  /** How often work took effect after another replica had ended its branch: the log names each branch. */
  readonly lateWork: number;
  /** How many lines about failed calls were left out of the log, because there were too many in ten seconds. */
  readonly linesLeftOut: number;
  /** Why old records could not be dropped at the last attempt; undefined when they could. */
  readonly problem: string | undefined;
}

/** A host that repeats calls, and guards them, would stand between the coordinator and the resource that decides. */
function servesNoLastResource(className: string): InvalidParticipantError {
  return new InvalidParticipantError(
    className,
    'it is a last resource, and a participant host serves none',
    'Provide it in the application of the coordinator, from where it reaches its resource over the network.',
  );
}

/**
 * Serves the participants of this application to coordinators in other processes.
 *
 * @publicApi
 */
@Injectable()
export class ParticipantHost
  implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  private readonly log = new HostLog(new SafeLogger(ParticipantHost.name));
  private readonly participants = new Map<string, ServedParticipant>();
  private readonly store: ReplicaGuardStore;
  private readonly measurements = new HostMeasurements(this.log);
  private readonly server: CallServer;
  private readonly callers: CallerCheck;
  private readonly runs = new RunsOfHost();
  private contact: CoordinatorContact | undefined;
  private timer: NodeJS.Timeout | undefined;
  private purging: Promise<void> | undefined;
  private problem: string | undefined;
  /** Actions before calls are refused, which keep calls from coming that would be refused. */
  private readonly leaving: (() => Promise<void>)[] = [];
  private stopped: Promise<void> | undefined;

  /** @internal */
  constructor(
    @Inject(HOST_OPTIONS) private readonly options: ResolvedHostOptions,
    private readonly accessor: ParticipantAccessor,
  ) {
    const { guard, maxCalls, coordinators, credentials } = options;
    this.callers = new CallerCheck(credentials, this.log);
    this.store = guard === 'memory' ? new MemoryReplicaGuardStore() : guard;
    this.server = new CallServer({
      participants: this.participants,
      store: this.store,
      runs: this.runs,
      measurements: this.measurements,
      log: this.log,
      maxCalls,
      coordinators,
    });
  }

  /**
   * @throws InvalidParticipantError, DuplicateParticipantError as a coordinator does; an error of a store that cannot be
   * used.
   */
  async onModuleInit(): Promise<void> {
    await this.store.start?.();
    for (const { instance, className, options } of this.accessor.findDecorated()) {
      const { name, lastResource } = options;
      if (lastResource === true) throw servesNoLastResource(className);
      checkMethods(instance, className);
      if (this.participants.has(name)) throw new DuplicateParticipantError(name, className, 'another class');
      instance.registered?.({ name, claim: () => Promise.resolve() });
      const { interrupted } = this.options;
      const late = (place: GuardedBranch, work: LateWork): void => this.reportLate(place, work);
      this.participants.set(name, serve(name, instance, this.store, { interrupted, late }));
      this.log.log(`Participant "${name}" (${className}) is served to coordinators`);
    }
  }

  onApplicationBootstrap(): void {
    if (this.participants.size === 0) {
      this.log.warn('No participant is served: decorate a provider of this application with @Participant');
    }
    this.timer = setInterval(() => this.purge(), this.options.purgeIntervalMs).unref();
    const { contact } = this.options;
    if (contact === undefined) return;
    const names = [...this.participants.keys()];
    const inDoubt: ParticipantHost['inDoubt'] = (name, after) => this.inDoubt(name, after);
    this.contact = new CoordinatorContact(
      contact,
      { names, inDoubt, decide: (branch, decision) => this.decide(branch, decision) },
      this.log,
    );
    this.contact.start();
  }

  /** The HTTP server still answers by now. */
  beforeApplicationShutdown(): Promise<void> {
    return this.stop();
  }

  /** Finishes the calls at work, and refuses new ones. A repeat waits for the first one. @internal */
  stop(): Promise<void> {
    this.stopped ??= this.finish();
    return this.stopped;
  }

  /**
   * For a transport that takes messages from a broker.
   *
   * @param leave takes no further message, and resolves when those that have come before are with this host.
   * @internal
   */
  stopsFirst(leave: () => Promise<void>): void {
    this.leaving.push(leave);
  }

  private async finish(): Promise<void> {
    clearInterval(this.timer);
    await endInTurn([
      () => this.contact?.stop(),
      () => this.leaveBrokers(),
      () => this.server.stop(this.options.shutdownGraceMs),
      () => this.purging,
    ]);
  }

  private async leaveBrokers(): Promise<void> {
    if (this.leaving.length === 0) return;
    // One broker that cannot be left keeps no other from being left.
    const left = Promise.allSettled(this.leaving.map(async (leave) => leave())).then((ends) => {
      for (const end of ends) if (end.status === 'rejected') this.warnOfMessages(messageOf(end.reason));
      // Messages that have just arrived reach the host in this turn.
      return new Promise<void>((resolve) => setImmediate(resolve));
    });
    await within(LEAVE_MS, left, () => this.warnOfMessages(`no answer within ${LEAVE_MS} ms`));
  }

  private warnOfMessages(reason: string): void {
    this.log.warn(
      `A broker may still send messages, which this host answers "try again" until it has stopped: ${oneLine(reason)}`,
    );
  }

  async onApplicationShutdown(): Promise<void> {
    this.log.close();
    await this.store.close?.();
  }

  /** @returns the present state of the host. */
  view(): ParticipantHostView {
    return {
      status: this.stopped !== undefined ? 'stopping' : 'serving',
      version: VERSION,
      participants: [...this.participants.keys()],
      atWork: this.server.atWork,
      counts: this.measurements.list(),
      defects: this.log.defects,
      lateWork: this.measurements.lateWork,
      linesLeftOut: this.log.leftOut,
      problem: this.problem,
    };
  }

  /**
   * Lists branches in doubt: they may hold something, and their decision has not come.
   *
   * @param participant its name.
   * @param after the key `<transactionId>/<branchId>` after which the list begins. @default the first
   * @returns at most 500 branches, in the order of their keys; undefined when the participant is not served here.
   */
  async inDoubt(participant: string, after?: string): Promise<readonly GuardedBranch[] | undefined> {
    const served = this.participants.get(participant);
    if (served === undefined) return undefined;
    const branches = await served.list(undefined, after);
    return branches
      .slice(0, MAX_LISTED)
      .map(({ transactionId, branchId }) => ({ participant, transactionId, branchId }));
  }

  /** Serves one message, for a transport. @internal */
  serve(message: IncomingMessage, send: (answer: WireAnswer) => void): Promise<void> {
    return this.server.serve(message, send);
  }

  /**
   * Checks the token of a message, for a transport.
   *
   * @param authorization `Bearer <token>`.
   * @returns why the caller is not admitted; undefined when it is.
   * @internal
   */
  refusalOf(authorization: unknown): CallerRefusal | undefined {
    return this.callers.refusalOf(authorization);
  }

  /**
   * The coordinator has answered an inquiry. A commit that needs its payload is left to the coordinator, which delivers it
   * with the payload until it is acknowledged.
   */
  private async decide(branch: GuardedBranch, decision: 'commit' | 'abort'): Promise<void> {
    const { participant, transactionId, branchId } = branch;
    const run = this.runs.latestOf(transactionId);
    const served = this.participants.get(participant);
    if (run === undefined || served === undefined) return;
    const signal = AbortSignal.timeout(DECISION_MS);
    const deadline = Date.now() + DECISION_MS;
    const call = { transactionId, branchId, payload: undefined, deadline, signal, attempt: 1, run };
    if (decision === 'abort') await served.rollback(call);
    else if (served.commitsWithoutPayload) await served.commit(call);
  }

  private reportLate({ participant, transactionId, branchId }: GuardedBranch, work: LateWork): void {
    const branch = `branch "${branchId}" of ${transactionId} at "${participant}"`;
    const line = (text: string): LogLine => new LogLine(text, { transactionId, branchId, participant });
    switch (work.step) {
      case 'found':
        this.measurements.late(participant);
        this.log.warn(
          line(
            `The prepare of ${branch} took effect after another replica had ended the branch, and is undone now. If no line says ` +
              'that it was undone, look for its work in the data of the participant and undo it by hand: no call comes for it.',
          ),
        );
        return;
      case 'undone':
        this.log.log(line(`The late prepare of ${branch} was undone`));
        return;
      case 'left':
        this.log.error(
          line(
            `The late prepare of ${branch} could not be undone, so its work stays: undo it by hand in the data of the ` +
              `participant, since no call comes for it: ${oneLine(messageOf(work.error))}`,
          ),
        );
    }
  }

  private purge(): void {
    this.purging ??= this.store
      .purge()
      .then(
        () => {
          this.problem = undefined;
        },
        (error: unknown) => {
          this.problem = messageOf(error);
          this.log.warn(`Old records of branches could not be dropped: ${this.problem}`);
        },
      )
      .finally(() => {
        this.purging = undefined;
      });
  }
}
