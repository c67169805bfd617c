import type { Locator, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { obstaclesIn } from './support/accessibility.js';
import { DESKTOP, PHONE } from './support/browser.js';
import { FakeProblem, OPERATOR_TOKEN } from './support/callers.js';
import {
  ACTIVE_ID,
  HEURISTIC_ID,
  IN_DOUBT_ID,
  REFUSED_ID,
  STALLED_ID,
  threeMembers,
} from './support/scenario.js';
import { HAS_CHROMIUM, goTo, useBrowser } from './support/suite.js';

const STALLED = `#/transactions/${STALLED_ID}`;
const PAYMENT = `/transactions/${STALLED_ID}/branches/payment`;

describe.skipIf(!HAS_CHROMIUM)('acting from the dashboard', () => {
  const suite = useBrowser();

  it.each([
    ['a desktop', DESKTOP],
    ['a phone', PHONE],
  ])(
    'on %s asks first, says what will happen, and sends one request with the reason',
    async (_name, viewport) => {
      const { fake, page } = await suite.open(STALLED, { viewport });
      await page.getByRole('button', { name: /^Retry now/ }).click();
      const dialog = page.getByRole('dialog', { name: 'Retry payment now?' });
      expect(await dialog.innerText()).toMatch(
        /commit is sent to payment again.*The decision does not change/s,
      );
      const confirm = dialog.getByRole('button', { name: 'Retry now' });
      expect(await confirm.isDisabled()).toBe(true);
      await dialog.getByLabel('Reason, for the audit trail').fill('  the provider is back ');
      await confirm.dblclick();
      await dialog.waitFor({ state: 'hidden' });
      await page.getByText('Another attempt at payment is running.').waitFor();
      expect(fake.actions).toEqual([
        { by: 'alice', path: `${PAYMENT}/retry`, body: { reason: 'the provider is back' } },
      ]);
    },
  );

  it('shows an operator the content of a dead message, deletes it, and sends the others again', async () => {
    const { fake, page } = await suite.open('#/messages');
    const table = page.getByRole('table', { name: /^Dead messages of orders/ });
    const [first, ...others] = fake.scenario.deadMessages;
    await table.getByRole('button', { name: `Show: ${first!}` }).click();
    await table.getByText('{"orderId":"4711","note":"<b>urgent</b>"}').waitFor();
    await table.getByRole('button', { name: `Delete: ${first!}` }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Reason, for the audit trail').fill('sent by hand');
    await dialog.getByRole('button', { name: 'Delete 1 message' }).click();
    await dialog.waitFor({ state: 'hidden' });
    await expect.poll(() => table.locator('tbody tr').count()).toBe(2);
    await page.getByRole('button', { name: /^Send all again/ }).click();
    await dialog.getByLabel('Reason, for the audit trail').fill('it is back');
    await dialog.getByRole('button', { name: 'Send 2 messages again' }).click();
    await page.getByText('No message is dead.').waitFor();
    expect(fake.actions).toEqual([
      { by: 'alice', path: '/outboxes/orders/discard', body: { reason: 'sent by hand', ids: [first] } },
      { by: 'alice', path: '/outboxes/orders/resend', body: { reason: 'it is back', ids: others } },
    ]);
  });

  it('acts on all transactions of a problem after one question that says how many, and tells which were refused', async () => {
    const { fake, page } = await suite.open('#/');
    const dialog = await ask(page, 'Retry all: payment', 'the provider is back');
    expect(await dialog.innerText()).toMatch(/Retry 1 branch at payment now\?.*Each is recorded/s);
    await page.route('**/transactions/actions', (route) =>
      route.fulfill({
        json: {
          done: 0,
          refused: [{ code: 'DTC_ACTION_REFUSED', detail: 'It is tried.', count: 1, targets: [] }],
          notTried: [],
        },
      }),
    );
    await dialog.getByRole('button', { name: 'Retry 1' }).click();
    const result = dialog.getByRole('alert');
    await result.waitFor();
    expect(await result.innerText()).toMatch(/0 of 1 being tried again.*1 refused \(DTC_ACTION_REFUSED\)/s);
    await dialog.getByRole('button', { name: 'Close' }).click();
    await page.unroute('**/transactions/actions');

    const again = await ask(page, 'Retry all: payment', 'the provider is back');
    await again.getByRole('button', { name: 'Retry 1' }).click();
    await again.waitFor({ state: 'hidden' });
    expect(fake.actions).toEqual([
      {
        by: 'alice',
        path: '/transactions/actions',
        body: {
          reason: 'the provider is back',
          action: 'retry',
          alarm: expect.stringMatching(/^stalled\.payment\./) as string,
          targets: [{ transactionId: STALLED_ID, branchId: 'payment' }],
        },
      },
    ]);
  });

  it('goes by keys alone, and gives the focus back', async () => {
    const { fake, page } = await suite.open(`#/transactions/${ACTIVE_ID}`);
    const begin = page.getByRole('button', { name: /^Abort/ });
    await begin.waitFor();
    await tabTo(page, /^Abort: /);
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Abort this transaction?' });
    await dialog.waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    expect(await begin.evaluate((button) => button === document.activeElement)).toBe(true);
    expect(fake.actions).toEqual([]);
    await page.keyboard.press('Enter');
    await dialog.waitFor();
    await page.keyboard.type('wrong warehouse');
    await tabTo(page, /^Abort the transaction/);
    await page.keyboard.press('Enter');
    await dialog.waitFor({ state: 'hidden' });
    expect(fake.actions).toEqual([
      { by: 'alice', path: `/transactions/${ACTIVE_ID}/abort`, body: { reason: 'wrong warehouse' } },
    ]);
    // The button is gone with the state that allowed it.
    await expect.poll(() => begin.count()).toBe(0);
    expect(await page.evaluate(() => document.activeElement?.tagName)).toBe('H1');
  });

  it('asks how a branch has ended, and warns of an end that disagrees with the decision', async () => {
    const { fake, page } = await suite.open(STALLED);
    const dialog = await ask(page, /^Resolve by hand/, 'seen at the provider');
    expect(await dialog.getByRole('radio', { checked: true }).count()).toBe(0);
    expect(await dialog.getByRole('button', { name: 'Record this end' }).isDisabled()).toBe(true);
    await dialog.getByRole('radio', { name: /^Committed/ }).check();
    expect(await dialog.locator('.warning').count()).toBe(0);
    await dialog.getByRole('radio', { name: /^Rolled back/ }).check();
    expect(await dialog.locator('.warning').innerText()).toContain('Commit was decided');
    expect(await obstaclesIn(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Record this end' }).click();
    await dialog.waitFor({ state: 'hidden' });
    expect(fake.actions).toEqual([
      { by: 'alice', path: `${PAYMENT}/resolve`, body: { reason: 'seen at the provider', as: 'rollback' } },
    ]);
    await page.getByRole('button', { name: /^Forget report/ }).waitFor();
  });

  it('shows why it was refused, and can be tried again', async () => {
    const { fake, page } = await suite.open(STALLED);
    fake.refusal = new FakeProblem(409, 'DTC_ACTION_REFUSED', 'An attempt is running.');
    const dialog = await ask(page, /^Retry now/, 'now');
    await dialog.getByRole('button', { name: 'Retry now' }).click();
    const alert = dialog.getByRole('alert');
    await alert.waitFor();
    expect(await alert.innerText()).toBe('Not done. An attempt is running. (DTC_ACTION_REFUSED)');
    fake.refusal = undefined;
    await dialog.getByRole('button', { name: 'Retry now' }).click();
    await dialog.waitFor({ state: 'hidden' });
    expect(fake.actions).toHaveLength(2);
  });

  it('shows that the result of a request without an answer is unknown', async () => {
    const fake = await suite.fake();
    const { page, complaints } = await suite.visit(fake, { hash: STALLED, token: OPERATOR_TOKEN });
    const dialog = await ask(page, /^Retry now/, 'now');
    await page.route('**/retry', (route) => route.abort());
    await dialog.getByRole('button', { name: 'Retry now' }).click();
    await dialog.getByText('the action may or may not have been done').waitFor();
    expect(complaints.splice(0)).toEqual(['Failed to load resource: net::ERR_FAILED']);
  });

  it('pauses a participant and drains the coordinator, and leaves both in the audit trail', async () => {
    const { fake, page } = await suite.open('#/participants');
    const pausing = await ask(page, 'Pause: payment', 'the provider is down');
    await pausing.getByRole('button', { name: 'Pause payment' }).click();
    await page.getByText('Paused by alice').waitFor();
    await goTo(page, '#/');
    const draining = await ask(page, /^Drain/, 'update');
    await draining.getByRole('button', { name: 'Drain the coordinator' }).click();
    await page.getByText('draining: admits no new transactions').waitFor();
    expect(fake.actions.map(({ path, body }) => [path, body])).toEqual([
      ['/participants/payment/pause', { reason: 'the provider is down' }],
      ['/coordinator/drain', { reason: 'update' }],
    ]);
    await goTo(page, '#/audit');
    const entries = page.getByRole('table', { name: /Orders of operators/ }).locator('tbody tr');
    expect(await entries.first().innerText()).toMatch(/alice.*drain.*orders-eu-1.*update/s);
  });

  it('drains one member, whichever that is, and lets it admit work again', async () => {
    const { fake, page } = await suite.open('#/');
    fake.scenario.members.push(...threeMembers(fake.scenario));
    fake.tick();
    const table = page.getByRole('table', { name: /^Members that share the log/ });
    await table.waitFor();
    expect(await table.getByRole('button').allInnerTexts()).toEqual(['Drain', 'Drain']);

    const draining = await ask(page, 'Drain: shop-1', 'a new version');
    expect(await draining.innerText()).toMatch(
      /shop-1.*callers get 503.*5 transactions.*The other members are not changed/s,
    );
    await draining.getByRole('button', { name: 'Drain shop-1' }).click();
    const undrain = table.getByRole('button', { name: 'Admit work again: shop-1' });
    await undrain.waitFor();
    expect(await table.getByRole('row', { name: /shop-1/ }).innerText()).toContain('draining');
    const undraining = await ask(page, 'Admit work again: shop-1', 'it was started again');
    await undraining.getByRole('button', { name: 'Admit work again' }).click();
    await table.getByRole('button', { name: 'Drain: shop-1' }).waitFor();

    const epoch = fake.scenario.coordinator.epoch - 1;
    expect(fake.actions.map(({ path, body }) => [path, body])).toEqual([
      ['/coordinator/drain', { reason: 'a new version', member: epoch }],
      ['/coordinator/undrain', { reason: 'it was started again', member: epoch }],
    ]);
  });

  it('is offered only where it is possible', async () => {
    const { page } = await suite.open('#/');
    const offered: unknown[] = [];
    for (const id of [IN_DOUBT_ID, HEURISTIC_ID, REFUSED_ID, STALLED_ID, ACTIVE_ID]) {
      await goTo(page, `#/transactions/${id}`);
      offered.push([id, await page.locator('main button:not(.copy)').allInnerTexts()]);
    }
    expect(offered).toEqual([
      [IN_DOUBT_ID, []],
      [HEURISTIC_ID, ['Forget report']],
      [REFUSED_ID, []],
      [STALLED_ID, ['Retry now', 'Resolve by hand']],
      [ACTIVE_ID, ['Abort']],
    ]);
  });
});

async function ask(page: Page, button: string | RegExp, reason: string): Promise<Locator> {
  await page.getByRole('button', { name: button }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel(/^Reason/).fill(reason);
  return dialog;
}

/** Presses the tabulator until what has the focus is called so. */
async function tabTo(page: Page, name: RegExp): Promise<void> {
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate(() => {
      const { activeElement } = document;
      return activeElement?.getAttribute('aria-label') ?? activeElement?.textContent ?? '';
    });
    if (name.test(focused)) return;
  }
  throw new Error(`The tabulator comes to nothing called ${String(name)}.`);
}
