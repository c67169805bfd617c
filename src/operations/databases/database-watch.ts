import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import {
  CoordinatorMembers,
  type DatabaseInspection,
  type ParticipantEntry,
  ParticipantRegistry,
  type PreparedTransaction,
  TransactionManager,
} from '../../coordinator/index.js';
import { messageOf } from '../../coordinator/gate/texts.js';
import type { DatabaseView, DatabasesView, PreparedView } from './database-views.js';
import { inspectionSchema } from './database.schemas.js';
import { type Judgement, judgeForeign, judgeOwn, statementFor } from './knowledge.js';
import { type MergedPlace, type Shown, mergePlaces } from './merge.js';

/** How long a participant may look, in milliseconds. */
const LOOK_MS = 4_000;
/** An answer is shown to all readers for so long, in milliseconds. */
const KEPT_MS = 5_000;
/** The most prepared transactions of one answer that are looked up in the log: the oldest. */
const MAX_LOOKED_UP = 200;
/** The most look-ups at the same time. A member that is asked for an outcome takes some more. */
const LOOKED_UP_AT_ONCE = 4;
/**
 * How long all of them may take together, in milliseconds: a log or a member that hangs keeps no reader
 * waiting.
 */
const LOOK_UP_MS = 4_000;

type Looked = { readonly participant: string } & (
  { readonly inspection: DatabaseInspection } | { readonly problem: string }
);

/**
 * Looks into the databases of the participants for operators. However many readers ask: each participant is
 * asked once in a few seconds at most, and never again while it has not answered.
 */
@Injectable()
export class DatabaseWatch implements BeforeApplicationShutdown {
  private made: { readonly atMs: number; readonly view: DatabasesView } | undefined;
  private making: Promise<DatabasesView> | undefined;
  /** The looks that have not ended, by the name of the participant. */
  private readonly looking = new Map<string, Promise<unknown>>();
  private readonly ended = new AbortController();

  constructor(
    private readonly registry: ParticipantRegistry,
    private readonly transactions: TransactionManager,
    private readonly members: CoordinatorMembers,
  ) {}

  /** @returns the databases, as they were at most a few seconds ago; it is never a rejection. */
  now(): Promise<DatabasesView> {
    if (this.made !== undefined && performance.now() - this.made.atMs < KEPT_MS)
      return Promise.resolve(this.made.view);
    this.making ??= this.make().finally(() => (this.making = undefined));
    return this.making;
  }

  /** Running looks are told that no one waits any more. */
  beforeApplicationShutdown(): void {
    this.ended.abort(new Error('The application ends.'));
  }

  private async make(): Promise<DatabasesView> {
    const at = new Date().toISOString();
    const entries = this.registry.list();
    const seen = entries.filter(({ instance }) => typeof instance.inspect === 'function');
    const looked = await Promise.all(seen.map((entry) => this.look(entry)));
    const places = mergePlaces(looked.filter((one): one is Shown => 'inspection' in one));
    const lookUps = new LookUps();
    const databases: DatabaseView[] = [];
    for (const place of places) databases.push(await this.judged(place, lookUps));
    lookUps.end();
    for (const one of looked) if ('problem' in one) databases.push(unseenDatabase(one));
    const unseen = entries
      .filter((entry) => !seen.includes(entry))
      .map(({ name, address }) => ({
        participant: name,
        why:
          address === undefined
            ? 'It has no method inspect().'
            : `It is in another process, at ${address}. Look into its database there.`,
      }));
    const view = { at, databases, unseen };
    this.made = { atMs: performance.now(), view };
    return view;
  }

  /** Asks one participant, at most for its time. */
  private async look({ name: participant, instance }: ParticipantEntry): Promise<Looked> {
    if (this.looking.has(participant))
      return { participant, problem: 'It has not answered an earlier question yet.' };
    const late = new AbortController();
    const timer = setTimeout(
      () => late.abort(new Error(`It has not answered within ${LOOK_MS} ms.`)),
      LOOK_MS,
    );
    const signal = AbortSignal.any([late.signal, this.ended.signal]);
    const answer = Promise.resolve().then(() => {
      signal.throwIfAborted();
      return instance.inspect!(signal);
    });
    const over = answer.then(
      () => {},
      () => {},
    );
    this.looking.set(participant, over);
    void over.then(() => this.looking.delete(participant));
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    try {
      const read = inspectionSchema.safeParse(await Promise.race([answer, aborted.promise]));
      if (read.success) return { participant, inspection: read.data };
      const { path, message } = read.error.issues[0]!;
      return {
        participant,
        problem: `Its inspect() has answered with a wrong ${path.join('.')}: ${message}`,
      };
    } catch (error) {
      return { participant, problem: messageOf(error) };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  private async judged(place: MergedPlace, lookUps: LookUps): Promise<DatabaseView> {
    const prepared: PreparedView[] = [];
    for (let start = 0; start < place.prepared.length; start += LOOKED_UP_AT_ONCE) {
      const some = place.prepared.slice(start, start + LOOKED_UP_AT_ONCE);
      prepared.push(...(await Promise.all(some.map((one) => this.judge(one, lookUps)))));
    }
    return { ...place, problem: null, prepared };
  }

  private async judge(transaction: PreparedTransaction, lookUps: LookUps): Promise<PreparedView> {
    const judgement =
      judgeForeign(transaction, this.members.own) ?? (await this.lookUp(transaction, lookUps));
    const { statements, ...shown } = transaction;
    const statement = statementFor(transaction, judgement.knowledge);
    return { ...shown, ...judgement, statement, how: statement === null ? null : statements!.how };
  }

  /** The database was asked earlier, so its list lacks branches that were prepared and decided since. */
  private lookUp({ branch }: PreparedTransaction, lookUps: LookUps): Promise<Judgement> {
    const { transactionId } = branch!;
    return lookUps.within(async () => {
      const decision = await this.transactions.decisionFor(transactionId);
      return judgeOwn(decision, await this.transactions.outcomeOf(transactionId));
    });
  }
}

/** The look-ups in the log for one answer, with a limit on their number and their time. */
class LookUps {
  private left = MAX_LOOKED_UP;
  private isOver = false;
  private readonly over: Promise<void>;
  private readonly timer: NodeJS.Timeout;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.timer = setTimeout(() => {
      this.isOver = true;
      resolve();
    }, LOOK_UP_MS);
  }

  /** @param ask is called only while there is time. It is never a rejection. */
  async within(ask: () => Promise<Judgement>): Promise<Judgement> {
    if (this.left-- <= 0)
      return { knowledge: 'unknown', why: `Only the oldest ${MAX_LOOKED_UP} are looked up in the log.` };
    if (this.isOver) return NOT_IN_TIME;
    return (await Promise.race([ask(), this.over])) ?? NOT_IN_TIME;
  }

  end(): void {
    clearTimeout(this.timer);
  }
}

const NOT_IN_TIME: Judgement = {
  knowledge: 'unknown',
  why: `The log, or the member that owns it, has not answered within ${LOOK_UP_MS} ms.`,
};

function unseenDatabase({ participant, problem }: Looked & { readonly problem: string }): DatabaseView {
  return {
    title: `The database of ${participant}`,
    participants: [participant],
    problem,
    prepared: [],
    preparedTotal: 0,
    waits: [],
    waitsTotal: 0,
    notes: [],
  };
}
