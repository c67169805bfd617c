import type { Entry } from './account.js';

export type Decision = 'commit' | 'abort';

/** All facts about one transaction, from every part of its world. */
export class CaseFile {
  /** The work of each participant, by branch key. */
  readonly entries = new Map<string, Entry>();
  decision: Decision | undefined;
  /** Whether a commit record was ever durable. */
  recorded = false;
  /**
   * Whether a shared log has ever had anything of it: a commit record, an outcome, or the name of the branch
   * that decides.
   */
  logged = false;
  /** Whether a member, a caller or a participant has heard that commit is decided. */
  isHeard = false;
  /** Whether the member that has begun it has decided commit. */
  isDecidedByOwner = false;
  /** Whether the log has lost what it had of it. */
  isLost = false;
  /** Whether the only participant decides by itself. */
  onePhase = false;
  /** The key of the branch that decides after all others have voted, if there is one. */
  decider: string | undefined;
  told: string | undefined;
  /** The key of its request. */
  key: string | undefined;
  /** Whether the log has refused its record for what it holds. */
  refused = false;

  /** Of a group whose record is durable: its members. */
  members: readonly string[] = [];
  /** Of a member of a group whose record is durable: the group. */
  group: string | undefined;
  /**
   * Where it was refused, or has failed, as a member of a group: behind which others, whose work was there.
   */
  readonly refusedBehind = new Map<string, readonly string[]>();

  constructor(readonly id: string) {}

  /** Whether a participant ended a branch of its own accord, which no protocol can repair. */
  get isHeuristic(): boolean {
    for (const { heuristic } of this.entries.values()) if (heuristic !== undefined) return true;
    return false;
  }
}
