import { originOf } from '../../src/coordinator/index.js';
import type { Entry } from './account.js';
import type { MembersWorld } from './members-world.js';
import type { Participant } from './participant.js';
import { Random } from './random.js';
import { BY_HAND } from './watcher.js';

/** In this share of the worlds the server of the log is replaced by its standby. */
const SHARE = 0.5;
/** In this share of those the operator has declared that the standby is synchronous: then nothing is lost. */
const SYNCHRONOUS_SHARE = 0.25;
/**
 * An asynchronous standby lacks so many of the last records and outcomes at most, and in this share of the
 * cases none.
 */
const MAX_LOST = 4;
const IN_STEP_SHARE = 0.2;
/**
 * What it draws changes nothing of what else happens in a world: those without a failover are what they were
 * without it.
 */
const STREAM = 60;

/**
 * The server of the shared log fails, and its standby takes over, on a new timeline. An asynchronous one has
 * not got the last decisions. After that a person has to decide what the log cannot know.
 */
export class Failover {
  private readonly random: Random;
  private readonly isPlanned: boolean;
  /** Whether the operator has declared that only synchronous standbys take over. */
  readonly isSynchronous: boolean;
  hasHappened = false;

  constructor(private readonly world: MembersWorld) {
    this.random = new Random(world.seed, STREAM);
    this.isPlanned = this.random.chance(SHARE);
    this.isSynchronous = this.random.chance(SYNCHRONOUS_SHARE);
  }

  plan(): void {
    const { world, random } = this;
    if (this.isPlanned)
      world.queue.after(random.between(0.2, 1) * world.settings.healAt, () => this.happen());
  }

  private happen(): void {
    const { world, random, isSynchronous } = this;
    const { tables, store, witnesses, judge } = world;
    this.hasHappened = true;
    const count = isSynchronous || random.chance(IN_STEP_SHARE) ? 0 : random.whole(1, MAX_LOST);
    const landed = this.losable().filter((id) => tables.decisions.has(id));
    const lost = landed.slice(Math.max(0, landed.length - count));
    world.say('log', `fails over, and has lost ${lost.length === 0 ? 'nothing' : lost.join(', ')}`);
    witnesses.count(lost.length === 0 ? 'log fails over' : 'log fails over and loses decisions');
    world.serverRestarts();
    store.failOver(lost.flatMap((id) => [id, ...judge.caseOf(id).members]));
    for (const id of lost) judge.lost(id);
  }

  /**
   * @returns the transactions whose records the standby may lack, in the order in which the log has got them.
   * If another member has read and told a commit of which its own member has no answer yet, and the standby
   * lacks that one, no log can help: such a standby has to be synchronous.
   */
  private losable(): string[] {
    const { landed, judge } = this.world;
    const ids = [...landed];
    const last = ids.findLastIndex((id) => {
      const { isDecidedByOwner, members } = judge.caseOf(id);
      return !isDecidedByOwner && [id, ...members].some((one) => judge.caseOf(one).isHeard);
    });
    return ids.slice(last + 1);
  }

  /**
   * A person at work: starts processes again that cannot go on, and ends by hand the branches of which the
   * log may have lost the decision. That person knows what the callers were told, as the judge does.
   */
  operate(): void {
    if (!this.hasHappened) return;
    const { world } = this;
    for (const process of world.living) if (process.needsOperator) world.restartMember(process);
    this.resolveLastResources();
    const owned = new Set(world.living.map(({ ownEpoch }) => ownEpoch));
    for (const participant of world.participants) {
      for (const entry of participant.account.prepared()) {
        const { transactionId } = entry;
        const hasRecord = world.tables.decisions.has(transactionId);
        const isOwned = owned.has(originOf(transactionId)!.epoch);
        if (!hasRecord && !isOwned && world.isUndecidable(transactionId)) this.endByHand(participant, entry);
      }
    }
  }

  /**
   * A member that was fenced cannot find out how another one has ended what the log may have lost: it is
   * told.
   */
  private resolveLastResources(): void {
    const { world } = this;
    for (const { runtime } of world.living) {
      runtime?.registry.forEach((transaction) => {
        const { id, stalled, branches, decider } = transaction;
        const branch = branches[decider];
        if (stalled === 0 || branch?.participant.isLastResource !== true) return;
        if (world.tables.decisions.has(id) || !world.isUndecidable(id)) return;
        const end = this.ruleOut(id) ? 'rollback' : 'commit';
        if (runtime.executor.completion.resolve(branch, end, BY_HAND))
          world.witnesses.count('last resource resolved by hand after a failover');
      });
    }
  }

  /**
   * Looks up at the last resource how it has ended, and rules out a late call.
   *
   * @returns whether it has not committed.
   */
  private ruleOut(transactionId: string): boolean {
    const { world } = this;
    const { decider: key } = world.judge.caseOf(transactionId);
    const last = world.participants.find(({ traits }) => traits.lastResource !== undefined);
    if (key === undefined || last === undefined) return true;
    const entry = last.account.entryOf(key, transactionId, last.name, 0);
    if (entry.state === 'none') entry.state = 'refused';
    return entry.state !== 'committed';
  }

  private endByHand({ account, name }: Participant, entry: Entry): void {
    const { world } = this;
    this.ruleOut(entry.transactionId);
    const { recorded, decision } = world.judge.caseOf(entry.transactionId);
    const commits = recorded || decision === 'commit';
    world.say(name, `has ${entry.key} ${commits ? 'committed' : 'rolled back'} by hand`);
    world.witnesses.count('branch ended by hand after a failover');
    if (commits) account.commit(entry);
    else account.undo(entry);
  }
}
