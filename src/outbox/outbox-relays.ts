import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleInit,
  SetMetadata,
} from '@nestjs/common';
import { endAll, endInTurn } from '../coordinator/end-all.js';
import { InvalidRequestError } from '../coordinator/errors.js';
import { SafeLogger } from '../coordinator/gate/safe-logger.js';
import { messageOf, oneLine } from '../coordinator/gate/texts.js';
import { OUTBOX_DESK, type OutboxDesk } from '../coordinator/operator/outboxes.js';
import { alarmsOf } from './alarms.js';
import { Chores } from './chores.js';
import { OutboxError } from './errors.js';
import { registerMetrics } from './metrics.js';
import type { ResolvedOutboxOptions } from './outbox.options.js';
import { OUTBOX_OPTIONS } from './outbox.options.js';
import { Relay } from './relay.js';
import type { Errand } from './reports.js';
import type { OutboxHealth, OutboxStatus } from './status.js';
import { type DeadMessage, type DeadMessageInFull, MOST_DEAD_AT_ONCE, type OutboxStore } from './store.js';

/** A kind of log line is written at most once in this time, in milliseconds. */
const LINE_INTERVAL_MS = 10_000;

interface Post {
  readonly store: OutboxStore;
  readonly relay: Relay;
  readonly chores: Chores;
  /** Why the store did not answer, by what it was asked for last. */
  readonly problems: Map<Errand, string>;
}

/**
 * The outboxes of the application: their state, and their dead messages.
 *
 * @publicApi
 */
@Injectable()
@SetMetadata(OUTBOX_DESK, true)
export class OutboxRelays
  implements OutboxDesk, OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown
{
  private readonly logger = new SafeLogger('Outbox');
  private readonly posts: readonly Post[];
  private readonly lines = new Map<string, number>();

  /** @internal */
  constructor(@Inject(OUTBOX_OPTIONS) private readonly options: ResolvedOutboxOptions) {
    this.posts = options.stores.map((store) => this.postOf(store));
    options.alarms?.add(() => alarmsOf(this.status()));
    if (options.registry !== undefined) registerMetrics(options.registry, () => this.status());
  }

  /** @throws OutboxError when the tables of an outbox cannot be used: the application does not start. */
  async onModuleInit(): Promise<void> {
    await Promise.all(this.posts.map(({ store }) => store.start()));
  }

  onApplicationBootstrap(): void {
    for (const { relay, chores } of this.posts) {
      chores.start();
      if (this.options.settings.relay) relay.start();
    }
  }

  /** Before the clients of messages close, which they do when the application has shut down. */
  async beforeApplicationShutdown(): Promise<void> {
    await endAll(this.posts.map((post) => () => endPost(post)));
  }

  /** @returns the state of each outbox. */
  status(): OutboxStatus[] {
    return this.posts.map(({ store, relay, chores, problems }) => {
      const { dead: deadSinceStart, ...counts } = relay.counts;
      const [problem] = problems.values();
      return { name: store.name, held: chores.held, ...counts, deadSinceStart, problem };
    });
  }

  /** @returns whether messages are dead or cannot be sent. It asks no database. */
  health(): OutboxHealth {
    const problems: string[] = [];
    for (const { name, held, problem, hanging } of this.status()) {
      if (problem !== undefined) problems.push(`the database of ${name} does not answer`);
      if (held !== undefined && held.dead > 0) problems.push(`dead messages in ${name}: ${held.dead}`);
      if (hanging >= this.options.settings.maxInFlight) problems.push(`all attempts of ${name} hang`);
    }
    return { status: problems.length === 0 ? 'up' : 'degraded', problems };
  }

  /**
   * @param outbox the name of a store.
   * @param limit at most 1,000.
   * @param after a position: only messages behind it are listed. @default 0
   * @returns its dead messages in the order of their positions, without what they say.
   * @throws OutboxError when the database does not answer.
   */
  listDead(outbox: string, limit: number = MOST_DEAD_AT_ONCE, after = 0): Promise<readonly DeadMessage[]> {
    return this.ask(outbox, (store) => store.listDead(Math.min(limit, MOST_DEAD_AT_ONCE), after));
  }

  /** @returns a dead message with what it says; undefined when no message with this id is dead. @throws OutboxError as above. */
  findDead(outbox: string, id: string): Promise<DeadMessageInFull | undefined> {
    return this.ask(outbox, (store) => store.findDead(id));
  }

  /**
   * Sends dead messages again, with all their attempts. One with a key comes last of its key. One whose key a branch holds at this
   * moment stays dead.
   *
   * @param ids at most 1,000.
   * @returns how many wait to be sent now.
   * @throws OutboxError when the database does not answer: then some may wait to be sent.
   */
  requeue(outbox: string, ids: readonly string[]): Promise<number> {
    return this.ask(outbox, (store) => store.requeue(checkedIds(ids)));
  }

  /** Deletes dead messages. @param ids at most 1,000. @returns how many were dead. @throws OutboxError as above. */
  discard(outbox: string, ids: readonly string[]): Promise<number> {
    return this.ask(outbox, (store) => store.discard(checkedIds(ids)));
  }

  private async ask<T>(outbox: string, question: (store: OutboxStore) => Promise<T>): Promise<T> {
    const store = this.storeOf(outbox);
    try {
      return await question(store);
    } catch (error) {
      if (error instanceof InvalidRequestError || error instanceof OutboxError) throw error;
      throw new OutboxError(
        'DTC_OUTBOX_UNREACHABLE',
        `The database of the outbox "${outbox}" does not answer: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  private storeOf(outbox: string): OutboxStore {
    const post = this.posts.find(({ store }) => store.name === outbox);
    if (post !== undefined) return post.store;
    const names = this.posts.map(({ store }) => store.name).join(', ');
    throw new InvalidRequestError('outbox', `must be one of ${names}`);
  }

  private postOf(store: OutboxStore): Post {
    const { settings, send } = this.options;
    const problems = new Map<Errand, string>();
    const trouble = (errand: Errand, problem: string | undefined): void => {
      if (problem === undefined) {
        problems.delete(errand);
        return;
      }
      problems.set(errand, problem);
      this.line(`trouble ${store.name}`, 'warn', `The database of ${store.name} does not answer: ${problem}`);
    };
    const relay = new Relay(store, send, settings, {
      trouble,
      dead: ({ id, topic, transactionId, attempt }, error) =>
        this.line(
          `dead ${store.name}`,
          'error',
          `A message of ${store.name} is dead after attempt ${attempt}: ${id}, topic ${topic}, transaction ${transactionId}: ${error}`,
        ),
      late: (messages) =>
        this.line(
          `late ${store.name}`,
          'warn',
          `${messages} messages of ${store.name} have come too late to be sent within their lease: this process stood still, or the answer of ` +
            'the database was slow. They were given back, and are taken again.',
        ),
      hanging: (attempts) =>
        this.line(
          `hanging ${store.name}`,
          'error',
          `${attempts} attempts of ${store.name} go on after their time, so that no further message is sent until one ends. The ` +
            'function `send` must end when its signal is aborted.',
        ),
    });
    const chores = new Chores(store, settings, (problem) => trouble('chores', problem));
    return { store, relay, chores, problems };
  }

  private line(kind: string, level: 'warn' | 'error', text: string): void {
    const now = performance.now();
    if (now - (this.lines.get(kind) ?? -LINE_INTERVAL_MS) < LINE_INTERVAL_MS) return;
    this.lines.set(kind, now);
    this.logger[level](oneLine(text));
  }
}

function checkedIds(ids: readonly string[]): readonly string[] {
  if (Array.isArray(ids) && ids.length <= MOST_DEAD_AT_ONCE && ids.every((id) => typeof id === 'string')) {
    return ids;
  }
  throw new InvalidRequestError('ids', `must be a list of at most ${MOST_DEAD_AT_ONCE} ids`);
}

/** The relay and the chores use the store until they have ended. */
function endPost({ store, relay, chores }: Post): Promise<void> {
  return endInTurn([() => endAll([() => relay.stop(), () => chores.stop()]), () => store.close()]);
}
