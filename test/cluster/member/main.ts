import 'reflect-metadata';
import { flushCompileCache } from 'node:module';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  type BranchRequest,
  CoordinatorStatus,
  type Outcome,
  TransactionManager,
  branch,
} from '../../../src/coordinator/index.js';
import { type Command, type Order, PRICE, type Report, type Settings } from '../messages.js';
import { MemberModule } from './member.module.js';
import { Begun, PaymentService, ShippingService, StockService } from './participants.js';

/**
 * The process that is killed, stopped and cut off. It does what its parent says, and tells what its callers
 * are told.
 */
let application: INestApplicationContext | undefined;

process.on('message', (command: Command) => {
  obey(command).catch((error: unknown) => {
    report({
      type: 'failed',
      message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    // A start that was refused is tried again by the parent, in another process.
    if (command.type === 'start') process.exit(1);
  });
});
process.on('disconnect', () => process.exit(1));

async function obey(command: Command): Promise<void> {
  switch (command.type) {
    case 'start':
      await start(command.settings);
      report({ type: 'started' });
      break;
    case 'order':
      await answer(command.number, command.order);
      break;
    case 'ask': {
      const { number, transactionId } = command;
      report({ type: 'known', number, known: await transactions().outcomeOf(transactionId) });
      break;
    }
    case 'look':
      look(command.number);
      break;
  }
}

async function start(settings: Settings): Promise<void> {
  const begun = new Begun((key, transactionId) => report({ type: 'begun', key, transactionId }));
  application = await NestFactory.createApplicationContext(MemberModule.with(settings, begun), {
    logger: ['log', 'warn', 'error'],
    abortOnError: false,
  });
  application.enableShutdownHooks([], { useProcessExit: true });
  // A process that is killed writes no cache at its end.
  flushCompileCache();
}

async function answer(number: number, order: Order): Promise<void> {
  try {
    const outcome = await outcomeOf(order);
    const { status, transactionId } = outcome;
    report({
      type: 'told',
      number,
      told: {
        status,
        transactionId,
        ...('decision' in outcome && { decision: outcome.decision }),
        ...('reason' in outcome && { reason: outcome.reason }),
      },
    });
  } catch (error) {
    report({ type: 'refused', number, code: String((error as { code?: unknown }).code ?? error) });
  }
}

function outcomeOf(order: Order): Promise<Outcome> {
  const branches = branchesOf(order);
  switch (order.way) {
    case 'at once':
      return transactions().run({ branches });
    case 'stepwise':
      return stepwise(order);
    case 'keyed':
      return transactions().run({ branches, key: order.key, fingerprint: order.manner });
  }
}

/** Its caller knows the id before anything is done. */
async function stepwise(order: Order): Promise<Outcome> {
  const transaction = transactions().begin();
  report({ type: 'begun', key: order.key, transactionId: transaction.id });
  try {
    for (const each of branchesOf(order)) transaction.enlist(each);
  } catch (error) {
    return transaction.rollback(String(error));
  }
  return transaction.commit();
}

function branchesOf({ key, manner, item, account, quantity }: Order): BranchRequest[] {
  const price = quantity * PRICE;
  const payment = branch(PaymentService, { key, manner, id: account, amount: price });
  if (manner === 'one-phase') return [payment];
  const stock = branch(StockService, { key, manner, id: item, amount: quantity });
  if (manner === 'read-only') return [stock, payment];
  return [stock, payment, branch(ShippingService, { key, manner, id: item, amount: quantity })];
}

function look(number: number): void {
  const status = application!.get(CoordinatorStatus);
  const { accepting, inFlight, stalled, heuristic, logProblem } = status.condition();
  const standing = { epoch: status.view().epoch, accepting, inFlight, stalled, heuristic, logProblem };
  report({ type: 'standing', number, standing });
}

function transactions(): TransactionManager {
  return application!.get(TransactionManager);
}

function report(message: Report): void {
  if (process.connected) process.send!(message);
}
