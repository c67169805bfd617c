import type { RegisteredParticipant } from '../participant/registered-participant.js';
import type { Member } from './member.js';

/** The members that wait for the same participants, in the order in which they came. */
class Queue {
  members = new Set<Member>();

  constructor(readonly participants: readonly RegisteredParticipant[]) {}
}

/**
 * The transactions that wait for a group. Only members with the same participants become one group. There are
 * no more waiting members than transactions in flight.
 */
export class WaitingMembers {
  /** By the participants. The queue that was served last is the last one. */
  private readonly queues = new Map<string, Queue>();

  constructor(
    private readonly maxMembers: number,
    private readonly maxBytes: number,
  ) {}

  get isEmpty(): boolean {
    return this.queues.size === 0;
  }

  /** Whether a transaction waits for one of these participants. */
  hasAnyFor(participants: readonly RegisteredParticipant[]): boolean {
    for (const queue of this.queues.values()) {
      if (queue.participants.some((participant) => participants.includes(participant))) return true;
    }
    return false;
  }

  add(member: Member): void {
    this.queueOf(member).members.add(member);
  }

  /** Lets members wait in front of all others, in their order. */
  putInFront(members: readonly Member[]): void {
    for (const member of members.toReversed()) {
      const queue = this.queueOf(member);
      queue.members = new Set([member, ...queue.members]);
    }
  }

  delete(member: Member): void {
    const key = keyOf(member);
    const queue = this.queues.get(key);
    if (queue?.members.delete(member) && queue.members.size === 0) this.queues.delete(key);
  }

  /**
   * Takes the members of the next groups, in turn. A queue that waits for one of its participants keeps the
   * others for itself, so that none waits without end.
   *
   * @param isFree whether a participant is free. It may have been taken since.
   * @param start takes the members of one group; called once for each.
   */
  serve(
    isFree: (participant: RegisteredParticipant) => boolean,
    start: (members: readonly Member[]) => void,
  ): void {
    const reserved = new Set<RegisteredParticipant>();
    // A queue that still has members moves to the end, and is not served twice.
    const queues = Array.from(this.queues);
    for (const [key, queue] of queues) {
      const { participants } = queue;
      if (participants.every((participant) => isFree(participant) && !reserved.has(participant))) {
        this.queues.delete(key);
        const members = this.next(queue);
        if (queue.members.size > 0) this.queues.set(key, queue);
        start(members);
      }
      // Its participants are taken now, or it is the next one to have them.
      for (const participant of participants) reserved.add(participant);
    }
  }

  /** Takes all members that wait for one of the participants that are meant. */
  take(isMeant: (participant: RegisteredParticipant) => boolean): readonly Member[] {
    const taken: Member[] = [];
    for (const [key, queue] of this.queues) {
      if (!queue.participants.some((participant) => isMeant(participant))) continue;
      this.queues.delete(key);
      taken.push(...queue.members);
    }
    return taken;
  }

  private next(queue: Queue): readonly Member[] {
    const members: Member[] = [];
    let bytes = 0;
    for (const member of queue.members) {
      bytes += member.bytes;
      if (members.length === this.maxMembers || (members.length > 0 && bytes > this.maxBytes)) break;
      members.push(member);
      queue.members.delete(member);
    }
    return members;
  }

  private queueOf(member: Member): Queue {
    const key = keyOf(member);
    let queue = this.queues.get(key);
    if (queue === undefined) this.queues.set(key, (queue = new Queue(member.participants)));
    return queue;
  }
}

function keyOf({ participants }: Member): string {
  return participants.map(({ rank }) => rank).join('/');
}
