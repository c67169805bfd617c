import { expect, it } from 'vitest';
import { LogOutput } from '../../src/common/log-output.js';
import { TransactionManager } from '../../src/coordinator/index.js';
import { TestApplication } from '../support/application.js';

/** Every write, as it comes. */
class Writes extends LogOutput {
  readonly texts: string[] = [];
  readonly waiting = 0;

  write(text: string): void {
    this.texts.push(text);
  }

  end(): void {}
}

// A file of its own, because nestjs-pino keeps the first logger of a process.
it('the lines of transactions that end at the same time are one write to the output of the application', async () => {
  const output = new Writes();
  const { app } = await TestApplication.start({ LOG_LEVEL: 'info' }, output);
  const transactions = app.get(TransactionManager);

  await Promise.all(Array.from({ length: 20 }, () => transactions.run({ branches: [] })));
  await app.close();

  const ends = output.texts.map((text) => text.split('transaction committed').length - 1);
  expect(ends.filter((lines) => lines > 0)).toEqual([20]);
});
