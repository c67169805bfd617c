import { Controller, Get, NotFoundException, Param } from '@nestjs/common';
import { DispatchPlan, type Shipment } from './dispatch-plan.js';

/** The parcels that are booked. */
@Controller('shipments')
export class ShipmentsController {
  constructor(private readonly plan: DispatchPlan) {}

  @Get(':orderId')
  find(@Param('orderId') orderId: string): Shipment {
    const shipment = this.plan.find(orderId);
    if (shipment === undefined) throw new NotFoundException('No parcel is booked for this order.');
    return shipment;
  }
}
