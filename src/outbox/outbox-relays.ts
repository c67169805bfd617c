import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleInit,
} from '@nestjs/common';
import { endAll, endInTurn } from '../coordinator/end-all.js';
import { InvalidRequestError } from '../coordinator/errors.js';
import { SafeLogger } from '../coordinator/gate/safe-logger.js';
import { oneLine } from '../coordinator/gate/texts.js';
import { alarmsOf } from './alarms.js';
import { Chores } from './chores.js';
import { registerMetrics } from './metrics.js';
import type { ResolvedOutboxOptions } from './outbox.options.js';
import { OUTBOX_OPTIONS } from './outbox.options.js';
import { Relay } from './relay.js';
import type { OutboxHealth, OutboxStatus } from './status.js';
import { type DeadMessage, MOST_DEAD_AT_ONCE, type OutboxStore } from './store.js';

/** A kind of log line is written at most once in this time, in milliseconds. */
const LINE_INTERVAL_MS = 10_000;

interface Post {
  readonly store: OutboxStore;
  readonly relay: Relay;
  readonly chores: Chores;
  problem: string | undefined;
}

/**
 * The outboxes of the application: their state, and their dead messages.
 *
 * @publicApi
 */
@Injectable()
export class OutboxRelays implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown {
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
    return this.posts.map(({ store, relay, chores, problem }) => {
      const { dead: deadSinceStart, ...counts } = relay.counts;
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
   * @returns its dead messages, the oldest first.
   */
  async listDead(outbox: string, limit: number = MOST_DEAD_AT_ONCE): Promise<readonly DeadMessage[]> {
    return this.storeOf(outbox).listDead(Math.min(limit, MOST_DEAD_AT_ONCE));
  }

  /**
   * Sends dead messages again, with all their attempts. Messages of their keys that were sent meanwhile stay sent.
   *
   * @param ids at most 1,000.
   * @returns how many of them were dead.
   */
  async requeue(outbox: string, ids: readonly string[]): Promise<number> {
    return this.storeOf(outbox).requeue(checkedIds(ids));
  }

  /** Deletes dead messages. @param ids at most 1,000. @returns how many of them were dead. */
  async discard(outbox: string, ids: readonly string[]): Promise<number> {
    return this.storeOf(outbox).discard(checkedIds(ids));
  }

  private storeOf(outbox: string): OutboxStore {
    const post = this.posts.find(({ store }) => store.name === outbox);
    if (post !== undefined) return post.store;
    const names = this.posts.map(({ store }) => store.name).join(', ');
    throw new InvalidRequestError('outbox', `must be one of ${names}`);
  }

  private postOf(store: OutboxStore): Post {
    const { settings, send } = this.options;
    const trouble = (problem: string | undefined): void => {
      if (problem !== undefined) {
        this.line(
          `trouble ${store.name}`,
          'warn',
          `The database of ${store.name} does not answer: ${problem}`,
        );
      }
      post.problem = problem;
    };
    const relay = new Relay(store, send, settings, {
      trouble,
      dead: ({ id, topic, transactionId, attempt }, error) =>
        this.line(
          `dead ${store.name}`,
          'error',
          `A message of ${store.name} is dead after attempt ${attempt}: ${id}, topic ${topic}, transaction ${transactionId}: ${error}`,
        ),
      hanging: (attempts) =>
        this.line(
          `hanging ${store.name}`,
          'error',
          `${attempts} attempts of ${store.name} go on after their time, so that no further message is sent until one ends. The ` +
            'function `send` must end when its signal is aborted.',
        ),
    });
    const post: Post = { store, relay, chores: new Chores(store, settings, trouble), problem: undefined };
    return post;
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
