import { devNull } from 'node:os';
import { destination, pino } from 'pino';
import { type CoordinatorModuleOptions, branch } from '../../src/coordinator/index.js';
import { PinoOutput, PinoTransactionLines } from '../../src/pino/index.js';
import type { Contender } from '../framework/contender.js';
import { CoordinatorApplication } from '../framework/coordinator-application.js';
import { First, Second, Third, type Trio, WORK } from './participants.js';

/** The coordinator over three participants that have nothing to do. */
export async function startCoordinator(
  name: string,
  options: CoordinatorModuleOptions = {},
): Promise<{ app: CoordinatorApplication; contender: Contender; trio: Trio }> {
  const app = await CoordinatorApplication.start([First, Second, Third], options);
  const { transactions } = app;
  const run: Contender['run'] = () =>
    transactions.run({
      name: 'benchmark',
      branches: [branch(First, WORK), branch(Second, WORK), branch(Third, WORK)],
    });
  return { app, contender: { name, run }, trio: [app.get(First), app.get(Second), app.get(Third)] };
}

/**
 * The one line at the end of each transaction, through pino at level info, to a destination that drops it.
 */
export function transactionLines(): PinoTransactionLines {
  const output = new PinoOutput(destination({ dest: devNull, sync: true }));
  return new PinoTransactionLines(pino({ level: 'info' }, output), {
    linesPerWrite: 64,
    destination: output,
  });
}
