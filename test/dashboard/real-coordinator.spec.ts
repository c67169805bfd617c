import { ConsoleLogger, Global, Module } from '@nestjs/common';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  CoordinatorModule,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { OperationsModule } from '../../src/operations/index.js';
import { DASHBOARD_FOLDER } from '../../src/operations/dashboard.controller.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { OPERATOR_TOKEN } from './support/callers.js';
import { HAS_CHROMIUM, goTo, useBrowser } from './support/suite.js';

describe.skipIf(!HAS_CHROMIUM)('the dashboard of a real coordinator', () => {
  const suite = useBrowser();
  let app: NestFastifyApplication;
  let site: { origin: string };

  beforeEach(async () => {
    @Global()
    @Module({
      providers: [{ provide: DASHBOARD_FOLDER, useValue: suite.folder }],
      exports: [DASHBOARD_FOLDER],
    })
    class BuiltDashboard {}

    const module = await Test.createTestingModule({
      imports: [
        BuiltDashboard,
        CoordinatorModule.forRoot({ maxAttempts: 1, recoveryIntervalMs: 60_000 }),
        OperationsModule.forRoot({ operators: [{ name: 'alice', token: OPERATOR_TOKEN }] }),
      ],
    })
      .setLogger(new ConsoleLogger({ logLevels: [] }))
      .compile();
    app = module.createNestApplication<NestFastifyApplication>(
      new FastifyAdapter({ forceCloseConnections: true }),
    );
    await app.listen(0, '127.0.0.1');
    site = { origin: await app.getUrl() };
  });
  afterEach(() => app.close());

  it('shows a transaction that stalls, and sees it through once an operator has it retried', async () => {
    const participants = app.get(ParticipantRegistry);
    participants.register(new ScriptedParticipant(), { name: 'order' });
    participants.register(new ScriptedParticipant({ commit: ['throw', 'yes'] }), { name: 'payment' });
    const { transactionId } = await app
      .get(TransactionManager)
      .run({ name: 'create-order', branches: [branch('order', {}), branch('payment', {})] });

    const { page } = await suite.visit(site, { token: OPERATOR_TOKEN });
    const stalled = page.getByRole('table', { name: /need attention/ }).locator('tbody tr');
    await expect
      .poll(() => stalled.allInnerTexts())
      .toEqual([expect.stringMatching(/warning.*1 transaction at payment: decided, not completed/s)]);
    await stalled.getByRole('link', { name: transactionId }).click();
    await page.getByRole('button', { name: /^Retry now/ }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel(/^Reason/).fill('payment is back');
    await dialog.getByRole('button', { name: 'Retry now' }).click();
    await dialog.waitFor({ state: 'hidden' });

    await expect.poll(() => page.locator('.summary').innerText()).toMatch(/^committed/);
    expect(
      await page
        .getByRole('img', { name: /^Timeline/ })
        .locator('.marker-failed')
        .count(),
    ).toBe(1);
    expect(await page.locator('main button:not(.copy)').count()).toBe(0);
    await goTo(page, '#/');
    await expect
      .poll(() => page.locator('main').innerText())
      .toContain('All transactions continue by themselves.');
    await goTo(page, '#/audit');
    const entry = page.getByRole('table', { name: /Orders of operators/ }).locator('tbody tr');
    expect(await entry.innerText()).toMatch(
      new RegExp(`alice.*retry.*${transactionId}/payment.*payment is back`, 's'),
    );
  });

  it('lists page after page of many', async () => {
    const participants = app.get(ParticipantRegistry);
    participants.register(new ScriptedParticipant(), { name: 'order' });
    const transactions = app.get(TransactionManager);
    for (let number = 0; number < 700; number += 1) {
      await transactions.run({ name: 'create-order', branches: [branch('order', {})] });
    }
    const { page } = await suite.visit(site, {
      token: OPERATOR_TOKEN,
      hash: '#/transactions?participant=order',
    });
    await expect
      .poll(async () => {
        await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
        return page.locator('.list-end').innerText();
      })
      .toMatch(/^700 transactions in all/);
  });
});
