import { type Browser, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SteadyLoad } from '../../src/demo/steady-load.js';
import { TestApplication } from '../support/application.js';
import { obstaclesIn } from './support/accessibility.js';
import { DESKTOP, PHONE, launchChromium } from './support/browser.js';
import { HAS_CHROMIUM } from './support/suite.js';

describe.skipIf(!HAS_CHROMIUM)('the page of the demonstration', () => {
  let browser: Browser;
  let application: TestApplication;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser.close());
  beforeEach(async () => {
    application = await TestApplication.start();
    page = await browser.newPage({ viewport: DESKTOP });
    page.on('pageerror', ({ message }) => complaints.push(message));
    page.on('console', (line) => line.type() === 'error' && complaints.push(line.text()));
    await page.goto(`${await application.app.getUrl()}/demo`);
    await page.getByRole('row', { name: /^payment/ }).waitFor();
  });
  afterEach(async () => {
    await page.close();
    await application.close();
    expect(complaints.splice(0)).toEqual([]);
  });

  it('makes a participant fail, and work again', async () => {
    await page.getByLabel('A fault lasts').selectOption('10 minutes');
    await page.getByRole('button', { name: 'payment hangs in commit' }).click();
    await page.getByText('commit: hang').waitFor();
    const { faults } = (await application.get('/demo/faults')).body;
    expect(faults).toEqual({
      order: [],
      inventory: [],
      payment: [{ method: 'commit', fault: 'hang', forMs: 600_000, delayMs: 1_000 }],
    });

    await page.getByRole('button', { name: 'End the fault of payment' }).click();
    await page.getByText('payment works again.').waitFor();

    expect((await application.get('/demo/faults')).body.faults.payment).toEqual([]);
  });

  it('starts traffic, counts its outcomes, and ends it', async () => {
    await page.getByLabel('Orders per second').fill('20');
    await page.getByRole('button', { name: 'Start traffic' }).click();
    await page.getByText(/^20 orders per second until/).waitFor();
    await expect
      .poll(async () => Number(await page.locator('#counts dd').first().innerText()))
      .toBeGreaterThan(5);

    await page.getByRole('button', { name: 'End traffic' }).click();
    await page.getByText('The traffic has ended.').waitFor();

    await application.app.get(SteadyLoad).ended;
    const { counts, started } = application.app.get(SteadyLoad).state;
    expect(counts.committed).toBe(started);
  });

  it('shows why a request is refused', async () => {
    await page.getByLabel('Orders per second').fill('50');
    await page.getByRole('spinbutton', { name: 'Minutes' }).fill('1440');
    await page.getByRole('button', { name: 'Start traffic' }).click();
    await page
      .getByRole('status')
      .getByText(/at most 500000 orders/)
      .waitFor();
    expect(application.app.get(SteadyLoad).state.running).toBe(false);
    // The browser notes the refusal.
    expect(complaints.splice(0)).toEqual([expect.stringContaining('status of 400')]);
  });

  it('restocks, and gives the dashboard the token of the operator', async () => {
    await page.getByRole('button', { name: 'Restock' }).click();
    await page.getByText(/^28890 pieces were delivered, and 2000000.00 EUR were paid in\.$/).waitFor();
    const token = await page.locator('#token').innerText();
    expect((await application.get('/demo/account')).body.token).toBe(token);

    // The files of the dashboard are not built here.
    await page.route('**/dashboard', (route) =>
      route.fulfill({ contentType: 'text/html', body: 'dashboard' }),
    );
    await page.getByRole('button', { name: 'Open the dashboard as this operator' }).click();
    await page.waitForURL('**/dashboard');

    expect(await page.evaluate(() => sessionStorage.getItem('dtc.token'))).toBe(token);
  });

  it.each([DESKTOP, PHONE])('puts no obstacle in the way of anyone, %o', async (viewport) => {
    await page.setViewportSize(viewport);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      expect(await obstaclesIn(page)).toEqual([]);
    }
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(
      viewport.width,
    );
  });
});
