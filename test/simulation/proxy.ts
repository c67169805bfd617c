import type {
  Branch,
  CoordinatorRun,
  IsOwnRun,
  LastResource,
  TransactionParticipant,
} from '../../src/coordinator/index.js';
import type { GroupBranch, GroupMember } from '../../src/coordinator/participant/group.js';
import { type Call, METHOD_IN_WORDS, Message, type Method, type SentBranch } from './message.js';
import type { Participant } from './participant.js';
import type { CoordinatorProcess } from './process.js';
import type { World } from './world.js';

/**
 * The participant that a coordinator has registered: it sends each call over the network, and brings back the
 * answer, if one comes.
 */
export class Proxy implements TransactionParticipant {
  commitOnePhase?: (branch: Branch) => Promise<never>;
  recover?: () => Promise<never>;
  claim?: (run: CoordinatorRun, isOwnRun: IsOwnRun) => Promise<void>;
  grouped?: boolean;
  rerunGroup?: (
    group: GroupBranch,
    members: readonly GroupMember[],
    trials: readonly GroupMember[],
  ) => Promise<never>;

  constructor(
    private readonly participant: Participant,
    private readonly process: CoordinatorProcess,
    private readonly world: World,
  ) {
    const { traits } = participant;
    if (traits.onePhase)
      this.commitOnePhase = (branch) => this.call('commitOnePhase', branch, traits.prepareTimeoutMs);
    if (traits.claims) {
      this.claim = (run, isOwnRun) =>
        new Promise((resolve, reject) => {
          const call = (): void => void this.participant.claim(run, isOwnRun).then(resolve, reject);
          this.process.after(this.world.network.delayMs(traits.prepareTimeoutMs), call);
        });
    }
    if (traits.grouping !== undefined) this.grouped = true;
    if (traits.grouping?.reruns === true) {
      this.rerunGroup = (group, members, trials) =>
        this.call('rerunGroup', group, traits.prepareTimeoutMs, members, trials);
    }
    if (traits.lists) this.recover = () => this.call('recover', undefined, traits.completionTimeoutMs);
  }

  runGroup(group: GroupBranch, members: readonly GroupMember[]): Promise<never> {
    return this.call('runGroup', group, this.participant.traits.prepareTimeoutMs, members);
  }

  discardGroup(group: GroupBranch): Promise<never> {
    return this.call('discardGroup', group, this.participant.traits.completionTimeoutMs);
  }

  prepare(branch: Branch): Promise<never> {
    return this.call('prepare', branch, this.participant.traits.prepareTimeoutMs);
  }

  commit(branch: Branch): Promise<never> {
    return this.call('commit', branch, this.participant.traits.completionTimeoutMs);
  }

  rollback(branch: Branch): Promise<never> {
    return this.call('rollback', branch, this.participant.traits.completionTimeoutMs);
  }

  /** The same, for a last resource. */
  asLastResource(): LastResource {
    const { prepareTimeoutMs } = this.participant.traits;
    return {
      commit: (branch) => this.call('commitLast', branch, prepareTimeoutMs),
      inquire: (branch) => this.call('inquire', branch, prepareTimeoutMs),
    };
  }

  private call(
    method: Method,
    branch: SentBranch | undefined,
    timeoutMs: number,
    members?: readonly GroupMember[],
    trials?: readonly GroupMember[],
  ): Promise<never> {
    const { faults, network, judge, queue } = this.world;
    const message = branch === undefined ? undefined : new Message(branch, members, trials);
    // Of what it has voted as a member of a group nothing counts any more.
    const isOfGroup = message?.payload === null;
    if (method === 'prepare' && message !== undefined && !isOfGroup) judge.runsAlone(message.transactionId);
    this.process.mayFail();
    // The rest of the program of a process that has ended does not run.
    if (!this.process.isAlive) return new Promise(() => {});
    if (faults.strikes('call throws at once')) throw new Error('no connection');
    if (message !== undefined) judge.sent(method, message.transactionId, queue.now);
    if (method === 'commitLast') this.world.decidesNow(message!.transactionId);
    const { promise, resolve, reject } = Promise.withResolvers<never>();
    const call = this.makeCall(method, message, timeoutMs, resolve, reject);
    // What a participant without a guard may rely on: see there.
    const { isGuarded, heedsSignals } = this.participant.traits;
    const isOnce = (method === 'prepare' && !isGuarded) || method === 'runGroup' || method === 'rerunGroup';
    if (branch !== undefined && method === 'prepare' && heedsSignals && !isOnce)
      this.giveUpWith(branch, reject);
    if (faults.strikes('request lost')) {
      this.note(method, message, 'is lost');
      call.broken();
      return promise;
    }
    queue.after(network.delayMs(timeoutMs), () => this.participant.receive(call));
    if (isOnce) return promise;
    if (faults.strikes('connection cut while the request travels')) call.broken();
    if (faults.strikes('message repeated') && (isGuarded || method !== 'commitOnePhase')) {
      const repeat = this.makeCall(method, message, timeoutMs, resolve, reject);
      queue.after(network.delayMs(timeoutMs), () => this.participant.receive(repeat));
    }
    return promise;
  }

  private makeCall(
    method: Method,
    message: Message | undefined,
    timeoutMs: number,
    resolve: (value: never) => void,
    reject: (error: unknown) => void,
  ): Call {
    const { faults, network } = this.world;
    const back = (deliver: () => void): void => {
      if (!faults.strikes('answer lost')) this.process.after(network.delayMs(timeoutMs), deliver);
      else call.broken();
    };
    const call: Call = {
      method,
      message,
      timeoutMs,
      isConnected: () => this.process.isAlive,
      answer: (value) => back(() => resolve(value as never)),
      fail: (error) => back(() => reject(error)),
      broken: () => this.process.after(network.silenceMs(), () => reject(new Error('connection lost'))),
    };
    return call;
  }

  /**
   * As an HTTP client does: the answer is given up at once, and it is unknown how far the request has come.
   */
  private giveUpWith(branch: SentBranch, reject: (error: unknown) => void): void {
    branch.signal.addEventListener('abort', () => {
      this.world.witnesses.count('call given up with its signal');
      reject(new Error('given up'));
    });
  }

  private note(method: Method, message: Message | undefined, what: string): void {
    if (this.world.transcript.isOn)
      this.world.say('network', `the request to ${METHOD_IN_WORDS[method]} ${message?.key ?? ''} ${what}`);
  }
}
