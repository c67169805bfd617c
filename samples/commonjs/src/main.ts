import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { Train, Trips, TripsModule } from './trips';

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(TripsModule, { logger: ['error'] });
  for (const seats of [6, 6]) {
    const { status } = await app.get(Trips).book(seats);
    console.log(`${status}, ${app.get(Train).taken} seats are taken`);
  }
  await app.close();
}

void main();
