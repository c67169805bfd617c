import { Module } from '@nestjs/common';
import { Customs } from './customs.js';
import { DispatchPlan } from './dispatch-plan.js';
import { ShipmentsController } from './shipments.controller.js';
import { ShippingParticipant } from './shipping.participant.js';

/** The shipping service: the vans, and its part in transactions. */
@Module({
  controllers: [ShipmentsController],
  providers: [Customs, DispatchPlan, ShippingParticipant],
})
export class ShippingModule {}
