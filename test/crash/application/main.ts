import 'reflect-metadata';
import { flushCompileCache } from 'node:module';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { CoordinatorStatus, TransactionManager, branch } from '../../../src/coordinator/index.js';
import { recoverNow } from '../../../src/coordinator/testing/recover-now.js';
import type { Command, Manner, Report, Settings, Told, Transfer } from '../messages.js';
import { ApplicationModule } from './application.module.js';
import { Gates, PayeeBank, PayerBank } from './bank.js';
import { GroupedPayeeBank, GroupedPayerBank } from './grouped-bank.js';
import { Stock } from './stock.js';
import { CrashPoints } from './crash-points.js';
import type { CrashingLog } from './crashing-log.js';

/** The process that is killed. It does what its parent says, and tells what it was told. */
const points = new CrashPoints();
let application: INestApplicationContext;
let log: CrashingLog;
/** Whether there is a stock in MariaDB. */
let hasStock = false;

process.on('message', (command: Command) => {
  obey(command).catch((error: unknown) => {
    report({
      type: 'failed',
      message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    if (command.type === 'start') process.disconnect();
  });
});

/** Which house takes the fee; the name of its participant. */
const HOUSES: Partial<Record<Manner, string>> = {
  grouped: 'house-in-groups',
  last: 'last-house',
  'refused-by-last': 'last-house',
  expiring: 'holding-house',
  expired: 'holding-house',
};

async function obey(command: Command): Promise<void> {
  switch (command.type) {
    case 'start':
      points.arm(command.order);
      await start(command.settings);
      report({ type: 'started' });
      break;
    case 'arm':
      points.arm(command.order);
      log.fault = command.fault;
      break;
    case 'transfers':
      await Promise.all(command.transfers.map((transfer) => run(transfer)));
      break;
    case 'settle':
      await settle();
      break;
    case 'outcomes': {
      const known = await Promise.all(
        command.ids.map((id) => application.get(TransactionManager).outcomeOf(id)),
      );
      report({ type: 'outcomes', statuses: known.map(({ status }) => status) });
      break;
    }
  }
}

async function start(settings: Settings): Promise<void> {
  points.reached('before start');
  // Nest listens for the signal as well, and closes the application in the order of its hooks.
  process.on('SIGTERM', () => {
    points.reached('before drain');
    setImmediate(() => {
      points.reached('during drain');
      application.get(Gates).ending.resolve();
    });
  });
  const made = ApplicationModule.with(settings, points);
  log = made.log;
  hasStock = settings.stock !== undefined;
  application = await NestFactory.createApplicationContext(made.module, {
    logger: ['error'],
    abortOnError: false,
  });
  application.enableShutdownHooks([], { useProcessExit: true });
  points.reached('after start');
  // A process that is killed writes no cache at its end.
  flushCompileCache();
}

async function run({ key, from, to, amount, manner, bulk = 0 }: Transfer): Promise<void> {
  const fee = 1;
  const isGrouped = manner === 'grouped';
  const [payer, payee] = isGrouped ? [GroupedPayerBank, GroupedPayeeBank] : [PayerBank, PayeeBank];
  const house = HOUSES[manner] ?? 'house';
  try {
    const outcome = await application.get(TransactionManager).run({
      name: 'transfer',
      branches: [
        branch(payer, { key, account: from, amount: -amount, manner, bulk: 'x'.repeat(bulk) }),
        branch(payee, { key, account: to, amount: amount - fee, manner }),
        branch(house, { key, account: to, amount: fee, manner }),
        ...(hasStock && !isGrouped ? [branch(Stock, { key, account: from, amount: 1, manner })] : []),
      ],
    });
    points.reached('before telling', outcome.transactionId);
    const { status, transactionId } = outcome;
    const told: Told = {
      status,
      transactionId,
      ...(outcome.status === 'pending' && { decision: outcome.decision }),
    };
    report({ type: 'told', key, told });
    points.reached('after telling', transactionId);
  } catch (error) {
    report({ type: 'refused', key, code: String((error as { code?: unknown }).code) });
  }
}

/** A reader of the reports forgets them; the last noted ends are written with the check. */
async function settle(): Promise<void> {
  const transactions = application.get(TransactionManager);
  await recoverNow(application);
  for (const { transactionId, heuristic } of transactions.list())
    if (heuristic !== null) transactions.forget(transactionId);
  await log.check().catch(() => {});
  report({ type: 'settled', condition: application.get(CoordinatorStatus).condition() });
}

function report(message: Report): void {
  if (process.connected) process.send!(message);
}
