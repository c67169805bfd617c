import { Injectable } from '@nestjs/common';
import { CoordinatorMembers, type TransactionSummary } from '../../coordinator/index.js';
import { AnyMember } from './any-member.js';
import type { MemberAnswer } from './member-call.js';
import { MemberClient } from './member-client.js';
import { type MemberNow, type MembersNow, type OwnedSummary, owned } from './owned.js';
import { OwnAnswers, type OwnOverview } from './own-answers.js';

/** The transactions of all members that need attention. */
export interface AttentionOfAll {
  /** The oldest first. */
  readonly transactions: readonly OwnedSummary[];
  readonly total: number;
}

interface Heard {
  readonly overview: MemberAnswer<'overview'> | undefined;
  readonly problem: string | null;
}

const MAX_ATTENTION = 100;
const NOT_ASKED: Heard = { overview: undefined, problem: null };

/** What the members say of themselves: asked for when a reader wants it, and never twice at the same time. */
@Injectable()
export class MemberWatch {
  private heard: ReadonlyMap<number, Heard> = new Map();
  private asking: Promise<void> | undefined;

  constructor(
    private readonly own: OwnAnswers,
    private readonly client: MemberClient,
    private readonly anyMember: AnyMember,
    private readonly members: CoordinatorMembers,
  ) {}

  /** Asks the other members, and waits for their answers. @returns the members; it is never a rejection. */
  async now(): Promise<MembersNow> {
    await this.ask();
    return this.latest();
  }

  /** @returns the members, with what they have said when they were asked last. */
  latest(): MembersNow {
    const view = this.members.view();
    const members = view.members.map((member): MemberNow => {
      if (member.self)
        return { ...member, condition: this.own.overview().coordinator.condition, problem: null };
      const { overview, problem } = this.heard.get(member.epoch) ?? NOT_ASKED;
      return { ...member, condition: overview?.coordinator.condition ?? null, problem };
    });
    return { ...view, members };
  }

  /** @returns the transactions that need attention, of this member now and of the others as they have said last. */
  attention(own: OwnOverview): AttentionOfAll {
    const { self } = this.anyMember;
    const lists = [own.attention.map((transaction) => owned(transaction, self))];
    let total = own.attentionTotal;
    for (const { epoch, member } of this.members.view().members) {
      const overview = this.heard.get(epoch)?.overview;
      if (overview === undefined || epoch === self?.epoch) continue;
      total += overview.attentionTotal;
      const others = overview.attention as readonly TransactionSummary[];
      lists.push(others.map((transaction) => owned(transaction, { epoch, member })));
    }
    const all = lists.flat();
    if (lists.length > 1) all.sort((one, other) => Date.parse(one.startedAt) - Date.parse(other.startedAt));
    return { transactions: all.slice(0, MAX_ATTENTION), total };
  }

  /** Asks the other members, unless that is under way. @returns a promise that resolves when they have been asked. */
  ask(): Promise<void> {
    this.asking ??= this.askOthers().finally(() => (this.asking = undefined));
    return this.asking;
  }

  private async askOthers(): Promise<void> {
    const { alive } = this.anyMember.others();
    const heard = await Promise.all(
      alive.map(async (member): Promise<[number, Heard]> => {
        const asked = await this.client.ask(member, { kind: 'overview' });
        if (asked.kind === 'answered') return [member.epoch, { overview: asked.answer, problem: null }];
        return [
          member.epoch,
          { overview: undefined, problem: asked.kind === 'failed' ? asked.problem : asked.detail },
        ];
      }),
    );
    this.heard = new Map(heard);
  }
}
