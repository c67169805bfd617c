import { Injectable } from '@nestjs/common';
import { type Alarm, CoordinatorMembers } from '../../coordinator/index.js';
import { alarmOf, byUrgency } from '../../coordinator/observation/alarms/alarm.js';
import { AnyMember } from './any-member.js';
import type { MemberAnswer } from './member-call.js';
import { MemberClient } from './member-client.js';
import { MemberTokens } from './member-tokens.js';
import type { AlarmsOfAll, AttentionPage, MemberNow, MembersNow, OwnedAlarm, OwnerView } from './owned.js';
import { OwnAnswers, type OwnOverview } from './own-answers.js';

interface Heard {
  readonly overview: MemberAnswer<'overview'> | undefined;
  readonly problem: string | null;
  /** Whether it was asked and has not answered. Where members do not ask each other, nothing is wrong. */
  readonly isMissing: boolean;
}

const NOT_ASKED: Heard = { overview: undefined, problem: null, isMissing: false };

const NOTHING: ReadonlyMap<number, Heard> = new Map();

/** How long an answer is shown after the members could have been asked again, in milliseconds. */
const KEPT_MS = 5_000;

/** The information of the members about themselves. It is asked for when a reader wants it, and never twice at the same time. */
@Injectable()
export class MemberWatch {
  private latestHeard: ReadonlyMap<number, Heard> = new Map();
  private heardAtMs = -Infinity;
  private asking: Promise<void> | undefined;

  constructor(
    private readonly own: OwnAnswers,
    private readonly client: MemberClient,
    private readonly anyMember: AnyMember,
    private readonly members: CoordinatorMembers,
    private readonly tokens: MemberTokens,
  ) {}

  /** Asks the other members, and waits for their answers. @returns the members; it is never a rejection. */
  async now(): Promise<MembersNow> {
    await this.ask();
    return this.latest();
  }

  /** @returns the members, with what they have said when they were asked last. */
  latest(): MembersNow {
    const { heard } = this;
    const view = this.members.view();
    const members = view.members.map((member): MemberNow => {
      const { overview, problem } = heard.get(member.epoch) ?? NOT_ASKED;
      const coordinator = member.self ? this.own.overview().coordinator : overview?.coordinator;
      const { condition = null, version = null } = coordinator ?? {};
      return { ...member, condition, version, problem: member.self ? null : problem };
    });
    return { ...view, members };
  }

  /**
   * Asks the other members, and waits for their answers.
   *
   * @returns the problems; it never rejects.
   */
  async attention(limit: number): Promise<AttentionPage> {
    await this.ask();
    return { at: new Date().toISOString(), ...this.alarms(this.own.overview(), limit) };
  }

  /**
   * @returns the present alarms of this member, and the latest ones of the others.
   * @param limit the most alarms.
   */
  alarms(own: OwnOverview, limit: number): AlarmsOfAll {
    const { self } = this.anyMember;
    const { heard: heardOf } = this;
    const found = new Map<string, OwnedAlarm>();
    let hidden = own.alarmsTotal - own.alarms.length;
    const add = (alarm: Alarm, from: OwnerView | null): void => {
      const members = from === null ? [] : [nameOf(from)];
      const before = found.get(alarm.id);
      found.set(
        alarm.id,
        before === undefined ? { ...alarm, members } : joined(before, { ...alarm, members }),
      );
    };
    for (const alarm of own.alarms) add(alarm, self);
    for (const member of this.members.view().members) {
      const heard = heardOf.get(member.epoch);
      if (heard === undefined || member.epoch === self?.epoch) continue;
      const { overview, problem, isMissing } = heard;
      // Its lease may hold for a while. That it does not answer is known at once.
      if (isMissing && member.state === 'alive')
        add(alarmOf('DtcTargetDown', nameOf(member), { cause: problem }), self);
      for (const alarm of overview?.alarms ?? []) add(alarm, member);
      hidden += (overview?.alarmsTotal ?? 0) - (overview?.alarms.length ?? 0);
    }
    return {
      alarms: [...found.values()].toSorted(byUrgency).slice(0, limit),
      total: found.size + hidden,
    };
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
        const obstacle = this.client.obstacleTo(member);
        if (obstacle !== undefined) return [member.epoch, { ...NOT_ASKED, problem: obstacle }];
        const asked = await this.client.ask(member, { kind: 'overview' });
        if (asked.kind === 'answered') return [member.epoch, { ...NOT_ASKED, overview: asked.answer }];
        const problem = asked.kind === 'failed' ? asked.problem : asked.detail;
        return [member.epoch, { overview: undefined, problem, isMissing: true }];
      }),
    );
    this.latestHeard = new Map(heard);
    this.heardAtMs = performance.now();
  }

  /** The latest answers of the members. None is older than what a reader who keeps looking sees. */
  private get heard(): ReadonlyMap<number, Heard> {
    const isOld = performance.now() - this.heardAtMs > KEPT_MS + this.tokens.timeoutMs;
    return isOld ? NOTHING : this.latestHeard;
  }
}

function nameOf({ epoch, member }: OwnerView): string {
  return member === '' ? `epoch ${epoch}` : `${member}, epoch ${epoch}`;
}

/** Each member counts transactions and events of its own. All of them see the same branches, messages and conditions. */
function joined(one: OwnedAlarm, other: OwnedAlarm): OwnedAlarm {
  const isOwn = one.unit === 'transactions' || one.unit === 'events';
  const [first] = [one, other].toSorted(byUrgency) as [OwnedAlarm];
  return {
    ...first,
    count: isOwn ? one.count + other.count : Math.max(one.count, other.count),
    nextAttemptAt: earlier(one.nextAttemptAt, other.nextAttemptAt),
    expiresAt: earlier(one.expiresAt, other.expiresAt),
    members: [...one.members, ...other.members],
  };
}

/** Both are ISO 8601 in the same zone, so that their order is that of texts. */
function earlier(one: string | null, other: string | null): string | null {
  if (one === null || other === null) return one ?? other;
  return one < other ? one : other;
}
