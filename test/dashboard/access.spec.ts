import { describe, expect, it } from 'vitest';
import { obstaclesIn } from './support/accessibility.js';
import { OPERATOR_TOKEN, READER_TOKEN } from './support/callers.js';
import { ACTIVE_ID, STALLED_ID } from './support/scenario.js';
import { HAS_CHROMIUM, goTo, useBrowser } from './support/suite.js';

describe.skipIf(!HAS_CHROMIUM)('who may see the dashboard, and when it can be trusted', () => {
  const suite = useBrowser();

  it.each([
    ['a reader', { token: READER_TOKEN }, {}],
    ['anyone, where reading is open', {}, { readers: 'anyone' }],
  ] as const)('offers no action to %s', async (_who, visitor, options) => {
    const fake = await suite.fake(options);
    const { page } = await suite.visit(fake, visitor);
    await page.locator('.identity').getByText('read only').waitFor();
    const buttons: string[] = [];
    for (const hash of [
      '#/',
      `#/transactions/${STALLED_ID}`,
      `#/transactions/${ACTIVE_ID}`,
      '#/participants',
    ]) {
      await goTo(page, hash);
      buttons.push(...(await page.locator('main button:not(.copy)').allInnerTexts()));
    }
    expect(buttons).toEqual([]);
  });

  it('lets anyone come forward with a token', async () => {
    const fake = await suite.fake({ readers: 'anyone' });
    const { page } = await suite.visit(fake);
    await page.getByRole('button', { name: 'Use a token' }).click();
    await page.getByLabel('Access token').fill(OPERATOR_TOKEN);
    await page.getByRole('button', { name: 'Go on', exact: true }).click();
    await page.getByRole('button', { name: /^Drain/ }).waitFor();
    expect(await page.locator('.identity').innerText()).toContain('alice, operator');
  });

  it('asks for a token, keeps it for the tab only and out of every address', async () => {
    const fake = await suite.fake();
    const { page } = await suite.visit(fake);
    const field = page.getByLabel('Access token');
    await field.fill('not-the-token');
    await page.keyboard.press('Enter');
    await page.getByText('This token is not accepted.').waitFor();
    expect(await obstaclesIn(page)).toEqual([]);
    await field.fill(OPERATOR_TOKEN);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Needs attention' }).waitFor();
    const kept = await page.evaluate(() => [
      Object.values(sessionStorage),
      Object.values(localStorage),
      document.cookie,
    ]);
    expect(kept).toEqual([[OPERATOR_TOKEN], [], '']);
    expect([page.url(), ...fake.requested].filter((url) => url.includes('token'))).toEqual([]);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await field.waitFor();
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
  });

  describe('when the connection is lost', () => {
    it('shows the loss and the age of the data, and reconnects by itself', async () => {
      const fake = await suite.fake();
      const { page, complaints } = await suite.visit(fake, { token: OPERATOR_TOKEN });
      await page.getByRole('heading', { name: 'Needs attention' }).waitFor();
      const { port } = fake;
      await fake.stop();
      const alert = page.getByRole('alert').filter({ hasText: 'Connection lost.' });
      await alert.waitFor();
      expect(await alert.innerText()).toMatch(
        /The shown data are old.*The data is \d+ s old.*(?:Next attempt in|Trying)/s,
      );
      await page.locator('header .pulse-lost').waitFor();
      expect(await page.getByRole('heading', { name: 'Needs attention' }).count()).toBe(1);
      expect(await obstaclesIn(page)).toEqual([]);
      await fake.listen(port);
      await page.locator('header .pulse-live').waitFor();
      await alert.waitFor({ state: 'detached' });
      await page.getByRole('status').getByText('Connected again.').waitFor();
      const unrelated = complaints.splice(0).filter((complaint) => !complaint.includes('net::ERR_'));
      expect(unrelated).toEqual([]);
    });

    it('recognises the planned end of a stream, and opens the next', async () => {
      const { fake, page } = await suite.open('#/');
      fake.endStreams();
      await expect.poll(() => fake.requested.filter((url) => url === '/events').length).toBe(2);
      fake.scenario.coordinator.condition.inFlight = 321;
      await expect.poll(() => fake.streamCount).toBe(1);
      fake.tick();
      await page.getByText('321', { exact: true }).waitFor();
      expect(await page.getByText('Connection lost.').count()).toBe(0);
    });
  });
});
