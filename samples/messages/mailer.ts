import { Controller, Inject } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { Pool } from 'pg';
import type { OutboxMessage } from '../../src/outbox/index.js';
import type { Order } from './order.participant.js';

/**
 * Writes a letter for each order, once. It keeps the id of the message in the same transaction as its effect, so that a message
 * which comes again changes nothing.
 */
@Controller()
export class Mailer {
  /** How many messages have come, also those that came again. */
  received = 0;

  constructor(@Inject(Pool) private readonly pool: Pool) {}

  /** @returns the answer that the relay waits for: any value says that the message is handled. */
  @MessagePattern('order.created')
  async write(@Payload() { id, payload }: OutboxMessage<Order>): Promise<'written' | 'known'> {
    this.received++;
    const { rowCount } = await this.pool.query(
      `WITH new AS (INSERT INTO handled_messages (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id)
      INSERT INTO letters (customer, order_id) SELECT $2, $3 FROM new`,
      [id, payload.customer, payload.id],
    );
    return rowCount === 1 ? 'written' : 'known';
  }
}
