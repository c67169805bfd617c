import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { ConsoleSpanExporter } from '@opentelemetry/sdk-trace-base';
import { Bookings, BookingsModule } from './bookings.module.js';
import { startTracing } from './tracing.js';

// Before the application, so that no transaction begins untraced.
const stopTracing = startTracing(new ConsoleSpanExporter());
const app = await NestFactory.createApplicationContext(BookingsModule, { logger: ['error'] });
for (const city of ['Lisbon', 'Atlantis']) {
  const { status, transactionId } = await app.get(Bookings).book(city);
  console.log(`${city}: ${status} (${transactionId})`);
}
// In this order: rollbacks may still be under way when their caller has been answered, and have spans as well.
await app.close();
await stopTracing();
