import { Module } from '@nestjs/common';
import { CoordinatorModule } from '../../src/coordinator/index.js';
import { InventoryModule } from '../../src/participants/inventory/inventory.module.js';
import { OrderModule } from '../../src/participants/order/order.module.js';
import { PaymentModule } from '../../src/participants/payment/payment.module.js';
import { CheckoutService } from './checkout.service.js';
import { ShippingModule } from './shipping.module.js';

/** A shop of four services. The coordinator finds the fourth by itself. */
@Module({
  imports: [CoordinatorModule.forRoot(), OrderModule, InventoryModule, PaymentModule, ShippingModule],
  providers: [CheckoutService],
})
export class ShopModule {}
