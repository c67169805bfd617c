import { NestFactory } from '@nestjs/core';
import type { Outcome } from 'nestjs-dtc';
import { AppModule } from './app.module.js';
import { NorthBank, SouthBank } from './banks.js';
import { TransfersService } from './transfers.service.js';

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'] });
const transfers = app.get(TransfersService);

/** The text for an outcome: the compiler knows the fields of each. */
function words(outcome: Outcome): string {
  switch (outcome.status) {
    case 'committed':
      return 'committed';
    case 'aborted':
      return `aborted by ${outcome.participant}: ${outcome.code}`;
    case 'pending':
      return `pending: ${outcome.reason}`;
    case 'heuristic':
      return `heuristic ${outcome.heuristic}`;
  }
}

for (const cents of [30_00, 80_00]) {
  const outcome = words(await transfers.send(cents));
  const ada = app.get(NorthBank).vault.balanceOf('ada');
  const bob = app.get(SouthBank).vault.balanceOf('bob');
  console.log(JSON.stringify({ cents, outcome, ada, bob }));
}
await app.close();
