import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService } from '@nestjs/core';
import {
  type DeadMessage,
  MessageNotFoundError,
  OperatorActions,
  type OperatorOrder,
  OutboxNotFoundError,
} from '../../coordinator/index.js';
import { OUTBOX_DESK, type OutboxDesk } from '../../coordinator/operator/outboxes.js';
import type {
  DeadMessageDetail,
  DeadMessagePage,
  DeadMessageView,
  MessageResult,
  OutboxView,
} from './outbox-views.js';

/**
 * The outboxes of the application, if there are any: found among its providers, so that no outbox is needed
 * here.
 */
@Injectable()
export class Outboxes implements OnModuleInit {
  private desks: readonly OutboxDesk[] = [];

  constructor(
    private readonly discovery: DiscoveryService,
    private readonly actions: OperatorActions,
  ) {}

  onModuleInit(): void {
    const found = this.discovery
      .getProviders()
      .filter(({ metatype }) => typeof metatype === 'function' && Reflect.hasMetadata(OUTBOX_DESK, metatype))
      .map(({ instance }) => instance as OutboxDesk);
    this.desks = [...new Set(found)];
  }

  /** @returns the state of each, without asking a database. */
  list(): OutboxView[] {
    return this.desks
      .flatMap((desk) => desk.status())
      .map(({ name, held, sent, retried, sending, hanging, problem }) => ({
        name,
        held: held ?? null,
        sent,
        retried,
        sending,
        hanging,
        problem: problem ?? null,
      }));
  }

  /**
   * @throws OutboxNotFoundError; an error with the code DTC_OUTBOX_UNREACHABLE when the database does not
   * answer.
   */
  async dead(outbox: string, limit: number, cursor?: string): Promise<DeadMessagePage> {
    // One more than is shown tells whether there is another page.
    const after = cursor === undefined ? 0 : Number(cursor);
    const found = await this.deskOf(outbox).listDead(outbox, limit + 1, after);
    const messages = found.slice(0, limit).map(viewOf);
    return { messages, nextCursor: found.length > limit ? String(messages.at(-1)!.position) : null };
  }

  /** @throws as {@link dead}; MessageNotFoundError when it is not dead, or there is none. */
  async find(outbox: string, id: string): Promise<DeadMessageDetail> {
    const found = await this.deskOf(outbox).findDead(outbox, id);
    if (found === undefined) throw new MessageNotFoundError(outbox, id);
    const { json: payload, ...message } = found;
    return { ...viewOf(message), payload };
  }

  /**
   * Sends dead messages again, or deletes them. The order is recorded first.
   *
   * @throws as {@link dead}; LogUnavailableError when it could not be recorded, so that nothing was done.
   */
  async act(
    action: 'resend' | 'discard',
    outbox: string,
    ids: readonly string[],
    order: OperatorOrder,
  ): Promise<MessageResult> {
    const desk = this.deskOf(outbox);
    const done = await this.actions.onMessages(action, outbox, ids, order, () =>
      action === 'resend' ? desk.requeue(outbox, ids) : desk.discard(outbox, ids),
    );
    return { done, left: ids.length - done };
  }

  private deskOf(outbox: string): OutboxDesk {
    const names: string[] = [];
    for (const desk of this.desks) {
      const own = desk.status().map(({ name }) => name);
      if (own.includes(outbox)) return desk;
      names.push(...own);
    }
    throw new OutboxNotFoundError(outbox, names);
  }
}

function viewOf({
  id,
  topic,
  key,
  position,
  transactionId,
  writtenAt,
  attempts,
  error,
}: DeadMessage): DeadMessageView {
  return { id, topic, key: key ?? null, position, transactionId, writtenAt, attempts, error };
}
