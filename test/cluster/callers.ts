import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../simulation/random.js';
import { ITEMS } from './books.js';
import type { Cluster, Place } from './cluster.js';
import type { Answer, MemberProcess } from './member-process.js';
import type { Manner, Order } from './messages.js';

const AT_ONCE = 4;
/** How long a caller thinks before its next order, at the most. */
const THINKING_MS = 15;
/** How long a caller waits that was refused, or whose member is not there. */
const REFUSED_MS = 50;
/** How long a caller waits until it asks again for an outcome. */
const ASK_AGAIN_MS = 150;
/** How long a caller with a key waits for an answer until it asks another member. */
const IMPATIENT_MS = 1_500;
/** How often a caller with a key asks until it gives up. */
const MOST_REPEATS = 6;
const WAYS: readonly Order['way'][] = ['at once', 'stepwise', 'keyed'];
const MANNERS: readonly Manner[] = ['plain', 'plain', 'plain', 'plain', 'refused', 'one-phase', 'read-only'];

/** An order, and what its caller was told. */
export interface Asked {
  readonly order: Order;
  /** The run of the member that was asked. */
  readonly of: string;
  /** The transactions that have run for it: more than one when it was run again after a conflict. */
  readonly ids: Set<string>;
  answer: Answer | undefined;
  /**
   * The earlier answer to its caller, or the answer of another member, when it has asked with its key more
   * than once.
   */
  readonly others: Answer[];
  /** The transactions that other members were asked for, as the caller had no final answer. */
  inquired: readonly string[];
  /** The answers. */
  readonly known: Map<string, 'committed' | 'aborted'>;
  /** The latest answers to those callers that have no final answer. */
  lastKnown: string;
}

/** Callers that send orders to each member, one after the other, and write down what they are told. */
export class Callers {
  private asked = new Map<string, Asked>();
  private lanes: Promise<void>[] = [];
  private readonly inquiries = new Set<Promise<void>>();
  private isStopping = false;
  private isPatient = true;
  private orders = 0;
  private readonly late: Promise<void>[] = [];
  askedAgain = 0;
  repeats = 0;

  constructor(
    private readonly cluster: () => Cluster,
    private readonly random: Random,
  ) {}

  /** A member says that a transaction has begun for an order. */
  begun(key: string, transactionId: string): void {
    this.asked.get(key)?.ids.add(transactionId);
  }

  start(): void {
    this.isStopping = false;
    this.isPatient = true;
    this.lanes = this.cluster().places.flatMap((place) =>
      Array.from({ length: AT_ONCE }, () => this.lane(place)),
    );
  }

  /** @returns a promise that resolves when every caller has its answer, or its member is dead. */
  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.lanes);
    await Promise.all(this.late.splice(0));
  }

  /**
   * @returns a promise that resolves when nothing is asked for any more; nothing is asked again once this
   * gives up.
   */
  async inquired(): Promise<void> {
    await Promise.all(this.inquiries);
  }

  giveUp(): void {
    this.isPatient = false;
  }

  /** Hands over all that was asked so far. */
  take(): readonly Asked[] {
    const all = [...this.asked.values()];
    this.asked = new Map();
    return all;
  }

  private async lane(place: Place): Promise<void> {
    while (!this.isStopping) {
      const { member } = place;
      if (member === undefined) {
        await pause(REFUSED_MS);
        continue;
      }
      const asked: Asked = {
        order: this.nextOrder(),
        of: member.name,
        ids: new Set(),
        answer: undefined,
        others: [],
        inquired: [],
        known: new Map(),
        lastKnown: 'nothing',
      };
      this.asked.set(asked.order.key, asked);
      if (asked.order.way === 'keyed') asked.answer = await this.repeatedly(asked, member);
      else asked.answer = await member.order(asked.order);
      if (!isFinal(asked.answer)) this.inquire(asked);
      await pause('refused' in asked.answer ? REFUSED_MS : this.random.between(0, THINKING_MS));
    }
  }

  /** Asks for an order until it is committed. A late answer to an impatient caller counts as well. */
  private async repeatedly(asked: Asked, first: MemberProcess): Promise<Answer> {
    let member: MemberProcess | undefined = first;
    let last: Answer = { nothing: true };
    for (let attempt = 0; attempt < MOST_REPEATS; attempt++) {
      if (member !== undefined) {
        const answer = member.order(asked.order);
        const heard = await Promise.race([answer, pause(IMPATIENT_MS)]);
        if (heard === undefined) this.late.push(answer.then((late) => void asked.others.push(late)));
        else {
          asked.others.push(heard);
          last = heard;
        }
        if (heard !== undefined && isCommitted(heard)) return heard;
        if (heard !== undefined && 'told' in heard && asked.order.manner === 'refused') return heard;
      }
      this.repeats++;
      await pause(ASK_AGAIN_MS);
      const { members } = this.cluster();
      member = members.length === 0 ? undefined : this.random.pick(members);
    }
    return last;
  }

  private nextOrder(): Order {
    const { random } = this;
    return {
      key: `order-${++this.orders}`,
      manner: random.pick(MANNERS),
      way: random.pick(WAYS),
      item: random.whole(0, ITEMS - 1),
      account: random.whole(0, ITEMS - 1),
      quantity: random.whole(1, 5),
    };
  }

  /** A caller without a final answer asks any member again, until one knows it. */
  private inquire(asked: Asked): void {
    const { answer } = asked;
    if (answer !== undefined && 'told' in answer) asked.ids.add(answer.told.transactionId);
    if (asked.ids.size === 0) return;
    this.askedAgain++;
    asked.inquired = [...asked.ids];
    const inquiry = Promise.all(asked.inquired.map((id) => this.untilKnown(asked, id))).then(() => {});
    this.inquiries.add(inquiry);
    void inquiry.finally(() => this.inquiries.delete(inquiry));
  }

  private async untilKnown(asked: Asked, id: string): Promise<void> {
    while (this.isPatient) {
      const { members } = this.cluster();
      const member = members.length === 0 ? undefined : this.random.pick(members);
      const known = await member?.outcomeOf(id);
      if (known?.status === 'committed' || known?.status === 'aborted') {
        asked.known.set(id, known.status);
        return;
      }
      if (known !== undefined) asked.lastKnown = `${id}: ${JSON.stringify(known)} by ${member?.name}`;
      await pause(ASK_AGAIN_MS);
    }
  }
}

function isCommitted(answer: Answer): boolean {
  return 'told' in answer && answer.told.status === 'committed';
}

function isFinal(answer: Answer): boolean {
  if ('refused' in answer) return true;
  return 'told' in answer && (answer.told.status === 'committed' || answer.told.status === 'aborted');
}
