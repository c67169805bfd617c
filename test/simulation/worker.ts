import 'reflect-metadata';
import { Logger } from '@nestjs/common';
import type { Delivery, Order } from './campaign.js';
import { runSchedules } from './runner.js';

/** One of the processes of a campaign: it runs what it is sent, until its parent is done or gone. */
Logger.overrideLogger(false);
process.on('message', (order: Order) => {
  void runSchedules(order).then(({ schedules, violations, witnesses }) => {
    const delivery: Delivery = { schedules, violations, witnesses: witnesses.entries() };
    process.send?.(delivery);
  });
});
