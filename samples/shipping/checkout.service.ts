import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { type Outcome, TransactionManager, branch } from '../../src/coordinator/index.js';
import { Catalogue } from '../../src/participants/inventory/catalogue.js';
import { InventoryParticipant } from '../../src/participants/inventory/inventory.participant.js';
import { OrderParticipant } from '../../src/participants/order/order.participant.js';
import { PaymentParticipant } from '../../src/participants/payment/payment.participant.js';
import { ShippingParticipant } from './shipping.participant.js';

/** What a customer buys: one piece of one product, sent home. */
export interface Purchase {
  readonly customerId: string;
  readonly sku: string;
  readonly country: string;
}

/** Buys something and sends it: four services change together, or none does. */
@Injectable()
export class CheckoutService {
  constructor(
    private readonly catalogue: Catalogue,
    private readonly transactions: TransactionManager,
  ) {}

  async buy({ customerId, sku, country }: Purchase): Promise<{ orderId: string; outcome: Outcome }> {
    const orderId = randomUUID();
    const unitPrice = this.catalogue.find(sku)?.price ?? 0;
    const items = [{ sku, quantity: 1, unitPrice }];
    const outcome = await this.transactions.run({
      name: 'buy-and-send',
      branches: [
        branch(OrderParticipant, { orderId, customerId, items, total: unitPrice }),
        branch(InventoryParticipant, { lines: items }),
        branch(PaymentParticipant, { customerId, amount: unitPrice }),
        branch(ShippingParticipant, { orderId, country }),
      ],
    });
    return { orderId, outcome };
  }
}
