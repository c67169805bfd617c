import { DurableLogNeededError } from '../errors.js';
import { SafeLogger } from '../gate/safe-logger.js';
import type { CoordinatorRun, IsOwnRun } from './participant.js';
import type { ParticipantClaims } from './participant-claims.js';
import type { RegisteredParticipant } from './registered-participant.js';
import { textAt } from '../gate/failure.js';
import { messageOf } from '../gate/texts.js';

/**
 * Claims each participant once for this run, if the participant wants to be claimed. Until a participant has
 * accepted the run, the coordinator starts no branch of it and does not list its prepared branches.
 */
export class ClaimsOfRun implements ParticipantClaims {
  private readonly logger = new SafeLogger('Coordinator');
  private readonly underWay = new Map<RegisteredParticipant, Promise<void>>();

  constructor(
    private run: CoordinatorRun,
    private readonly isOwnRun: IsOwnRun,
    /** Whether to accept participants whose branches outlive the process although the log is not durable. */
    private readonly allowMemoryLog: boolean,
  ) {}

  isNeeded(participant: RegisteredParticipant): boolean {
    return typeof participant.instance.claim === 'function' || this.lacksDurableLog(participant);
  }

  claim(participant: RegisteredParticipant): Promise<void> {
    if (participant.isClaimed) return Promise.resolve();
    const underWay = this.underWay.get(participant);
    if (underWay !== undefined) return underWay;
    const claim: Promise<void> = this.ask(participant).finally(() => {
      if (this.underWay.get(participant) === claim) this.underWay.delete(participant);
    });
    this.underWay.set(participant, claim);
    return claim;
  }

  startAgain(run: CoordinatorRun): void {
    this.run = run;
    // A claim that is under way is for the run before.
    this.underWay.clear();
  }

  async claimAll(participants: readonly RegisteredParticipant[]): Promise<void> {
    const answers = await Promise.allSettled(participants.map((participant) => this.claim(participant)));
    for (const [index, answer] of answers.entries()) {
      if (answer.status === 'fulfilled') continue;
      // One in another process has refused nothing. It is claimed as soon as it is there.
      if (textAt(answer.reason, 'code') !== 'DTC_PARTICIPANT_UNREACHABLE') throw answer.reason;
      this.report(participants[index]!, answer.reason);
    }
  }

  async claimLater(participant: RegisteredParticipant): Promise<void> {
    try {
      await this.claim(participant);
      participant.claimProblem = undefined;
    } catch (error) {
      this.report(participant, error);
    }
  }

  private report(participant: RegisteredParticipant, error: unknown): void {
    const problem = messageOf(error);
    if (problem === participant.claimProblem) return;
    participant.claimProblem = problem;
    const isAway = textAt(error, 'code') === 'DTC_PARTICIPANT_UNREACHABLE';
    this.logger.error(
      `Participant "${participant.name}" ${isAway ? 'has not accepted' : 'refuses'} this run of the coordinator, so none of its ` +
        `branches is started: ${problem}`,
    );
  }

  private async ask(participant: RegisteredParticipant): Promise<void> {
    const { instance } = participant;
    const { run } = this;
    if (this.lacksDurableLog(participant)) throw new DurableLogNeededError(participant.name);
    await instance.claim?.(run, this.isOwnRun);
    // Another instance may have taken its place since, or a later run that of this one.
    if (participant.instance === instance && this.run === run) participant.isClaimed = true;
  }

  private lacksDurableLog({ preparesDurably }: RegisteredParticipant): boolean {
    return preparesDurably && !this.run.durable && !this.allowMemoryLog;
  }
}
