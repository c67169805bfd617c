import { text as textIn } from 'node:stream/consumers';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { brokenWordsIn, obstaclesIn } from './support/accessibility.js';
import { DESKTOP, PHONE } from './support/browser.js';
import { STALLED_GID } from './support/databases.js';
import { OPERATOR_TOKEN, READER_TOKEN } from './support/callers.js';
import { ACTIVE_ID, IN_DOUBT_ID, REFUSED_ID, STALLED_ID, threeMembers } from './support/scenario.js';
import { HAS_CHROMIUM, goTo, useBrowser } from './support/suite.js';

const SIZES = [
  ['a desktop', DESKTOP],
  ['a phone', PHONE],
] as const;
const STALLED = `#/transactions/${STALLED_ID}`;
const PAGES = [
  '#/',
  '#/transactions',
  STALLED,
  `#/transactions/${REFUSED_ID}`,
  '#/transactions?cause=ECONN&startedAfter=2026-01-01T00:00:00Z&maxAgeMs=60000&alarm=gone&group=shop.1.9',
  '#/participants',
  '#/groups',
  '#/databases',
  '#/messages',
  '#/audit',
];

describe.skipIf(!HAS_CHROMIUM)('the pages of the dashboard', () => {
  const suite = useBrowser();

  describe.each(SIZES)('on %s', (_name, viewport) => {
    it('shows first the transactions that need attention: for how long, why, and the next step', async () => {
      const { page } = await suite.open('#/', { viewport });
      const rows = page.getByRole('table', { name: /need attention/ }).locator('tbody tr');
      await expect.poll(() => rows.count()).toBe(3);
      const [heuristic, inDoubt, stalled] = await rows.allInnerTexts();
      expect(heuristic).toMatch(
        /critical.*1 transaction ended otherwise than decided at payment.*9 min \d\d s.*forget the report/s,
      );
      expect(inDoubt).toMatch(/critical.*in doubt.*\d+ s.*The log is asked until it answers/s);
      expect(stalled).toMatch(
        /warning.*1 transaction at payment.*ECONNREFUSED.*12 min \d\d s.*Next attempt (in \d+ s|now)/s,
      );
      expect(await page.locator('h2').first().innerText()).toBe('Needs attention 3: 2 critical, 1 warning');
    });

    it('shows the last hour as a picture and the same in words', async () => {
      const { page } = await suite.open('#/', { viewport });
      const hour = page.getByRole('region', { name: 'Last hour' });
      await hour
        .getByRole('img', { name: 'Aborted a second over the last hour: at most 14, now 0' })
        .waitFor();
      const committed = hour.getByRole('img', {
        name: 'Committed a second over the last hour: at most 36, now 36',
      });
      const points = await committed.locator('polyline').getAttribute('points');
      expect(points!.split(' ')).toHaveLength(720);
      expect(await committed.locator('.course-mark').count()).toBe(1);
      expect(await hour.innerText()).toMatch(
        /Aborts in the last hour: 7,200 failed, 1,080 timed-out\..*resume payment, by rob/s,
      );
    });

    it('shows a transaction as a picture and the same in words', async () => {
      const { page } = await suite.open(STALLED, { viewport });
      const picture = page.getByRole('img', { name: /^Timeline of 3 branches/ });
      await picture.waitFor();
      const count = (selector: string): Promise<number> => picture.locator(selector).count();
      expect(await count('.marker-yes')).toBe(3);
      expect(await count('.marker-done')).toBe(2);
      expect(await count('.marker-failed')).toBe(10);
      expect(await count('.marker-stalled')).toBe(1);
      const numbers = await picture
        .locator('.marker-failed text')
        .evaluateAll((texts) =>
          texts.map((text) => text.getBoundingClientRect()).map(({ left, right }) => [left, right]),
        );
      for (const [index, [left]] of numbers.entries())
        if (index > 0) expect(left).toBeGreaterThan(numbers[index - 1]![1]!);
      expect(await count('.marker-next')).toBe(1);
      expect(await picture.locator('.decision').textContent()).toBe('commit decided');
      expect(await picture.locator('.marker-failed title').first().textContent()).toContain('ECONNREFUSED');
      const events = page.getByRole('table', { name: /The events of this transaction/ }).locator('tbody tr');
      expect(await events.count()).toBe(19);
      expect(await events.nth(10).innerText()).toMatch(/420 ms.*payment.*attempt 3 failed.*ECONNREFUSED/s);
    });

    it('shows the members that share the log, with their states, leases and work', async () => {
      const fake = await suite.fake();
      fake.scenario.members.push(...threeMembers(fake.scenario));
      Object.assign(fake.scenario.members[1]!, { problem: 'it has not answered within 2000 ms' });
      const { page } = await suite.visit(fake, { viewport, token: READER_TOKEN, hash: '#/' });
      const table = page.getByRole('table', { name: /^Members that share the log/ });
      await table.waitFor();

      const [gone, other, own] = await table.locator('tbody tr').allInnerTexts();
      expect(gone).toMatch(/shop-0.*5.*lost.*9.*s.*–.*–.*–/s);
      expect(other).toMatch(/shop-1.*6.*alive.*it has not answered within 2000 ms.*5.*0.*0/s);
      expect(own).toMatch(/shop-2.*this one.*7.*alive.*17.*1.*1/s);
      // A reader is offered no action.
      expect(await table.getByRole('button').count()).toBe(0);
      expect(await table.getByRole('columnheader', { name: 'New work' }).count()).toBe(0);
      const excess = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      expect(excess).toBeLessThanOrEqual(0);
      expect(await obstaclesIn(page)).toEqual([]);
    });

    it('shows groups, and participants in other processes', async () => {
      const fake = await suite.fake();
      const { scenario } = fake;
      const group = { id: 'shop.k3v9x2m4q8ab.1a.9', size: 3, runs: 2 };
      const [, one] = scenario.transactions;
      scenario.transactions.push({ ...one!, transactionId: group.id, name: 'group', group });
      Object.assign(one!, { group });
      Object.assign(scenario.participants[2]!, {
        remote: {
          address: 'https://payment-7c9f.payments.svc.cluster.internal:8443/participants',
          contact: {
            inFlight: 4,
            queued: 11,
            answeredAt: new Date().toISOString(),
            failure: {
              at: new Date(Date.now() - 90_000).toISOString(),
              problem: 'connect ECONNREFUSED 10.4.0.17:8443',
            },
            host: {
              at: new Date().toISOString(),
              version: '1.0.0-rc.1',
              versions: ['1.0.0-rc.1', 'unknown'],
              atWork: 2,
              calls: 1_240,
              errors: 3,
            },
          },
        },
      });
      const { page } = await suite.visit(fake, { viewport, token: READER_TOKEN, hash: '#/participants' });
      const remote = page.getByRole('table', { name: /^Participants in other processes/ });
      await remote.waitFor();
      expect(
        (await remote.locator('tbody tr').allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' ')),
      ).toEqual([
        expect.stringMatching(
          /payment .*https:\/\/payment-7c9f.* several: 1\.0\.0-rc\.1, unknown 4 11 1,240 since its start, 3 with an error, 2 at work \d s ago, at \d\d:.*1 min \d\d s ago, at .*ECONNREFUSED/,
        ),
      ]);
      expect(await obstaclesIn(page)).toEqual([]);
      await goTo(page, '#/groups');
      const groups = page.getByRole('table', { name: /^Groups of transactions/ }).locator('tbody tr');
      await expect.poll(() => groups.count()).toBe(1);
      expect(await page.locator('main').innerText()).toContain(
        '1 group with 3 members; their work has run again once.',
      );
      expect(await obstaclesIn(page)).toEqual([]);
      expect(await brokenWordsIn(page)).toEqual([]);
      await groups.getByRole('link', { name: '3', exact: true }).click();
      await page.getByText(/Only the group\s+shop\.k3v9x2m4q8ab\.1a\.9\s+and its members/).waitFor();
      const rows = page.locator('.row[aria-rowindex]:not(.row-head)');
      await expect.poll(() => rows.count()).toBe(2);
      await page.getByRole('button', { name: 'Leave this group' }).click();
      await expect.poll(() => rows.count()).toBeGreaterThan(2);
    });

    it('says of which zone its times are', async () => {
      const { page } = await suite.open('#/', { viewport });
      expect(await page.locator('footer').innerText()).toMatch(
        /^Times are those of \S+, GMT\S*\. Each shows/,
      );
    });

    it('fits, and has no obstacles', async () => {
      const { page } = await suite.open('#/', { viewport });
      const found: unknown[] = [];
      for (const hash of PAGES) {
        await goTo(page, hash);
        const excess = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
        const obstacles = await obstaclesIn(page);
        const broken = await brokenWordsIn(page);
        if (excess > 0 || obstacles.length > 0 || broken.length > 0)
          found.push({ hash, excess, obstacles, broken });
      }
      expect(found).toEqual([]);
    }, 180_000);

    it('stays quick with 10,000 transactions listed', async () => {
      const fake = await suite.fake({ others: 10_000 });
      const { page } = await suite.visit(fake, { hash: '#/transactions', viewport, token: OPERATOR_TOKEN });
      const rows = page.locator('.row[aria-rowindex]');
      await rows.first().waitFor();
      await scrollToTheEnd(page);
      expect(await page.locator('.list-end').innerText()).toMatch(/^10,005 transactions in all/);
      await page.getByText(STALLED_ID).waitFor();
      const { typicalMs, mostRows } = await scrollBack(page);
      expect(mostRows).toBeLessThan(90);
      expect(typicalMs).toBeLessThan(500);
      await page.getByText(ACTIVE_ID).waitFor();
    });
  });

  it('has no obstacles in the dark', async () => {
    const { page } = await suite.open('#/', { colorScheme: 'dark' });
    const found: unknown[] = [];
    for (const hash of PAGES) {
      await goTo(page, hash);
      const obstacles = await obstaclesIn(page);
      if (obstacles.length > 0) found.push({ hash, obstacles });
    }
    expect(found).toEqual([]);
  }, 180_000);

  it('tells rates from the differences of counts', async () => {
    const { fake, page } = await suite.open('#/');
    for (let second = 0; second < 10; second += 1) fake.passSecond();
    const committed = page.locator('.figure', { hasText: 'Committed a second' }).locator('.value');
    await expect.poll(async () => Number(await committed.innerText())).toBeGreaterThan(100);
    expect(Number(await committed.innerText())).toBeLessThan(300);
  });

  it('shows the problems of the coordinator itself', async () => {
    const { fake, page } = await suite.open('#/');
    const { condition } = fake.scenario.coordinator;
    Object.assign(condition, { accepting: false, recovering: true, restartNeeded: true });
    condition.logProblem = 'EIO: the last flush failed';
    fake.tick();
    await expect
      .poll(() => page.locator('.condition').innerText())
      .toMatch(/not accepting.*recovering.*restart needed.*Decision log: EIO: the last flush failed/s);
  });

  it('shows the prepared branches of the databases with their decisions, and copies the statement that ends one', async () => {
    const fake = await suite.fake();
    const { page } = await suite.visit(fake, { token: READER_TOKEN, hash: '#/databases' });
    const table = page.getByRole('table', { name: /^Prepared transactions in PostgreSQL/ });
    await table.waitFor();
    const [stalled, open, foreign] = await table.locator('tbody tr').allInnerTexts();
    expect(stalled).toMatch(/12 min 10 s.*payment_service.*commit decided.*2.*COMMIT PREPARED.*as role/s);
    expect(open).toMatch(/not decided.*nothing, since the decision is not known here/s);
    expect(foreign).toMatch(/<b>nightly<\/b>.*not ours.*nothing, since it is not ours/s);
    const waits = page.getByRole('table', { name: /^Sessions that wait/ }).locator('tbody tr');
    expect(await waits.first().innerText()).toMatch(/42 s.*session 4711.*AccessExclusiveLock.*payment/s);
    expect(await page.locator('main').innerText()).toMatch(
      /500 more are not shown.*GRANT PROCESS.*It has not answered within 4000 ms.*shipping: It has no method/s,
    );

    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    const copied = (): Promise<string> => page.evaluate(() => navigator.clipboard.readText());
    await table.getByRole('button', { name: 'Copy the statement' }).click();
    await expect.poll(copied).toBe(`COMMIT PREPARED '${STALLED_GID}';`);
    // Without the clipboard interface, as on a page that came over http.
    await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
    const id = table.getByRole('button', { name: 'Copy the global id' }).first();
    await id.click();
    await expect.poll(() => id.innerText()).toBe('Copied');
  });

  it('shows dead messages with their errors, but to a reader neither their content nor a button', async () => {
    const fake = await suite.fake();
    const { page } = await suite.visit(fake, { token: READER_TOKEN, hash: '#/messages' });
    const table = page.getByRole('table', { name: /^Dead messages of orders/ });
    await table.waitFor();
    const rows = await table.locator('tbody tr').allInnerTexts();
    expect(rows).toHaveLength(3);
    expect(rows[0]).toMatch(/order\.created.*key customer-0815.*coordinator-7-stalled.*20.*<script>/s);
    expect(await table.getByRole('button', { name: /^(Show|Send|Delete)/ }).count()).toBe(0);
    expect(await page.locator('main').innerText()).toMatch(
      /3 messages wait, the oldest for 1 min 35 s; 3 are dead.*Its database does not answer: connect ECONNREFUSED/s,
    );
  });

  it('shows a participant that does not answer, and since when', async () => {
    const fake = await suite.fake();
    const payment = fake.scenario.participants.find(({ name }) => name === 'payment')!;
    Object.assign(payment, { silent: { since: new Date().toISOString() } });
    const { page } = await suite.visit(fake, { token: READER_TOKEN, hash: '#/' });
    const silent = page.getByText('does not answer', { exact: true });
    await silent.waitFor();
    expect(await silent.count()).toBe(1);
    await goTo(page, '#/participants');
    const card = page.getByRole('article', { name: 'payment' });
    await expect.poll(() => card.innerText()).toMatch(/does not answer.*none of its prepares in time since/s);
    expect(await silent.count()).toBe(1);
  });

  it('shows the orders that concern a transaction, and links it to other tools', async () => {
    const { page } = await suite.open(STALLED, { token: READER_TOKEN });
    const orders = page.getByRole('table', { name: /^Orders of operators for this transaction/ });
    await expect
      .poll(() => orders.locator('tbody tr').allInnerTexts())
      .toEqual([expect.stringMatching(/alice.*retry.*payment.*the provider says that it is back/s)]);
    const link = page.getByRole('link', { name: 'Log lines in a new tab' });
    expect(await link.getAttribute('href')).toBe(`https://logs.example/?q=${STALLED_ID}`);
    expect(await link.getAttribute('rel')).toBe('noopener noreferrer');
    // It was not traced.
    expect(await page.getByRole('link', { name: /^Trace/ }).count()).toBe(0);
  });

  it('shows that the decision of a transaction in doubt is not known', async () => {
    const { page } = await suite.open(`#/transactions/${IN_DOUBT_ID}`);
    await expect.poll(() => page.locator('.facts').innerText()).toMatch(/Decision\s+not known/i);
  });

  it('shows the group with which a transaction was prepared', async () => {
    const fake = await suite.fake();
    const grouped = fake.scenario.transactions.find(({ transactionId }) => transactionId === IN_DOUBT_ID)!;
    Object.assign(grouped, { group: { id: 'shop.1.9', size: 3, runs: 2 } });
    const hash = `#/transactions/${IN_DOUBT_ID}`;
    const { page } = await suite.visit(fake, { token: READER_TOKEN, hash });
    await expect
      .poll(() => page.locator('.facts').innerText())
      .toMatch(/Group\s+shop\.1\.9: 3 members, run 2/i);
    expect(await page.locator('.facts a').getAttribute('href')).toBe('#/transactions/shop.1.9');
  });

  it('leaves out the beginning of an id where it has no room, and shows a mark for attention whole', async () => {
    const { page } = await suite.open('#/transactions?show=stalled', {
      viewport: { width: 1_000, height: 800 },
    });
    const row = page.locator('.row[aria-rowindex]:not(.row-head)').first();
    await row.waitFor();
    const { id, cell, mark, state } = await row.evaluate((element) => {
      const box = (selector: string): DOMRect => element.querySelector(selector)!.getBoundingClientRect();
      return {
        id: box('.row-id bdi'),
        cell: box('.row-id'),
        mark: box('.mark-warn, .mark-bad'),
        state: box('.row-state'),
      };
    });
    // Both end on the right; what has no room is on the left.
    expect(id.right).toBeLessThanOrEqual(cell.right + 1);
    expect(mark.left).toBeGreaterThanOrEqual(state.left);
    expect(mark.right).toBeLessThanOrEqual(state.right);
  });

  it('filters, keeps the filters in the address, and goes to a transaction and back', async () => {
    const { fake, page } = await suite.open('#/transactions');
    await page.getByLabel('Show').selectOption('stalled');
    const rows = page.locator('.row[aria-rowindex]:not(.row-head)');
    await expect.poll(() => rows.count()).toBe(1);
    expect(fake.requested.findLast((url) => url.startsWith('/transactions?'))).toContain('stalled=true');
    await rows.getByRole('link').click();
    await page.getByRole('heading', { name: 'Transaction create-order' }).waitFor();
    await page.goBack();
    await expect.poll(() => rows.count()).toBe(1);
    expect(page.url()).toContain('show=stalled');
    await page.getByLabel('Show').selectOption('');
    await page.getByLabel('Exact name').fill('cancel-order');
    await expect.poll(async () => new Set(await rows.getByRole('link').allInnerTexts()).size).toBe(1);
    expect(await rows.count()).toBeGreaterThan(5);
  });

  it('searches by every field, and says of which problem the listed transactions are', async () => {
    const { fake, page } = await suite.open('#/');
    await page.getByRole('link', { name: /^1 transaction at payment/ }).click();
    await page.getByText(/Only the transactions of one problem: 1 transaction at payment/).waitFor();
    const rows = page.locator('.row[aria-rowindex]:not(.row-head)');
    await expect.poll(() => rows.count()).toBe(1);
    await page.getByRole('button', { name: 'Leave this problem' }).click();
    await expect.poll(() => rows.count()).toBeGreaterThan(1);
    expect(page.url()).not.toContain('alarm=');

    await page.getByLabel('Search').fill('coordinator-7-s');
    await expect.poll(() => rows.count()).toBe(1);
    await page.getByText('Cause, time and age').click();
    await page.getByLabel('Cause').fill('ECONN');
    await page.getByLabel('Began at or after').fill('2026-01-01T03:00:05');
    await page.getByLabel('Began before').fill('2126-01-01T03:00:05');
    await page.getByLabel('At least this old').selectOption('10 minutes');
    await page.getByLabel('At most this old').selectOption('1 hour');
    const expected =
      'search=coordinator-7-s&cause=ECONN&startedAfter=2026-01-01T03%3A00%3A05.000Z&startedBefore=2126-01-01T03%3A00%3A05.000Z' +
      '&minAgeMs=600000&maxAgeMs=3600000';
    await expect
      .poll(() => fake.requested.findLast((url) => url.startsWith('/transactions?')))
      .toContain(expected);
    await page.reload();
    await expect.poll(() => page.getByLabel('Began before').inputValue()).toBe('2126-01-01T03:00:05');
    await expect.poll(() => rows.count()).toBe(1);
    await page.getByRole('link', { name: 'Clear all filters' }).click();
    await expect.poll(() => rows.count()).toBeGreaterThan(1);
    expect(await page.getByLabel('Search').inputValue()).toBe('');
  });

  it('saves filters in the browser, by keys alone', async () => {
    const { page } = await suite.open('#/transactions?show=stalled&participant=payment');
    await page.getByText('Saved filters (0)').focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    await page.keyboard.type('stalled at payment');
    await page.keyboard.press('Enter');
    await page.getByText('Saved filters (1)').waitFor();
    expect(await page.evaluate(() => Object.keys(localStorage))).toEqual(['dtc.filters']);
    expect(await obstaclesIn(page)).toEqual([]);

    await page.evaluate(() => (location.hash = '#/transactions'));
    await page.reload();
    await page.getByText('Saved filters (1)').click();
    await page.getByRole('link', { name: 'stalled at payment' }).click();
    await expect.poll(() => page.url()).toContain('?show=stalled&participant=payment');
    const rows = page.locator('.row[aria-rowindex]:not(.row-head)');
    await expect.poll(() => rows.count()).toBe(1);

    await page.getByRole('button', { name: 'Delete the filter stalled at payment' }).press('Enter');
    await page.getByText('Saved filters (0)').waitFor();
    expect(await page.evaluate(() => [localStorage.length, document.activeElement?.tagName])).toEqual([
      0,
      'H1',
    ]);
  });

  it('exports the transactions that match the filter as a file', async () => {
    const { fake, page } = await suite.open('#/transactions?show=stalled');
    const saved = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Export as CSV' }).click();
    const file = await saved;
    expect(file.suggestedFilename()).toBe('transactions-1.csv');
    expect(await textIn(await file.createReadStream())).toBe(STALLED_ID);
    expect(fake.requested.findLast((url) => url.startsWith('/transactions/export'))).toBe(
      '/transactions/export?stalled=true&format=csv',
    );
    await page.getByText('transactions-1.csv is saved.').waitFor();
    await page.route('**/transactions/export?*', (route) =>
      route.fulfill({ status: 403, json: { code: 'DTC_FORBIDDEN', detail: 'It is not for you.' } }),
    );
    await page.getByRole('button', { name: 'Export as JSON' }).click();
    await page.getByText('It is not for you. (DTC_FORBIDDEN)').waitFor();
  });

  it('says whose transactions may be missing', async () => {
    const fake = await suite.fake();
    fake.scenario.members.push(...threeMembers(fake.scenario));
    const { page } = await suite.visit(fake, { token: READER_TOKEN, hash: '#/transactions' });
    await expect
      .poll(() => page.locator('.warning').allInnerTexts())
      .toEqual(['Transactions may be missing, those of shop-0, epoch 5 (its lease has expired).']);
  });

  it('links pages of the application', async () => {
    const fake = await suite.fake();
    fake.pages = [{ label: 'Demonstration', url: '/demo' }];
    const { page } = await suite.visit(fake, { token: READER_TOKEN, hash: '#/' });
    const link = page.getByRole('navigation').getByRole('link', { name: 'Demonstration' });
    expect(await link.getAttribute('href')).toBe('/demo');
  });

  it('lists new transactions while the user is at the top, and not further down', async () => {
    const { fake, page } = await suite.open('#/transactions');
    const names = page.locator('.row-name a');
    await names.first().waitFor();
    const begin = (name: string): void => {
      const [youngest] = fake.scenario.transactions;
      fake.scenario.transactions.unshift({ ...youngest!, transactionId: name, name });
    };
    begin('begun-at-the-top');
    await expect.poll(() => names.first().innerText()).toBe('begun-at-the-top');
    await page.evaluate(() => window.scrollTo(0, 400));
    begin('begun-further-down');
    const { length } = fake.requested;
    const since = fake.ticks;
    await expect.poll(() => fake.ticks).toBeGreaterThanOrEqual(since + 3);
    expect(fake.requested.slice(length)).toEqual([]);
    await page.getByRole('button', { name: 'Refresh' }).click();
    await expect.poll(() => page.getByText('begun-further-down').count()).toBeGreaterThan(0);
  });

  it('moves the focus to the heading of an opened page, and past the navigation', async () => {
    const { page } = await suite.open('#/');
    await page.getByRole('link', { name: 'Participants', exact: true }).click();
    await page.getByRole('heading', { level: 1, name: 'Participants' }).waitFor();
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Participants');
    await page.getByRole('link', { name: 'Skip to the content' }).focus();
    await page.keyboard.press('Enter');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('main');
    expect(page.url()).toContain('#/participants');
  });

  it('reports unknown targets', async () => {
    const { page } = await suite.open('#/transactions/no%2Fsuch', { token: READER_TOKEN });
    const alert = page.locator('main').getByRole('alert');
    await alert.waitFor();
    expect(await alert.innerText()).toBe('No transaction no/such is known here. (DTC_TRANSACTION_NOT_FOUND)');
    await goTo(page, '#/elsewhere');
    expect(await page.locator('h1').innerText()).toBe('No such page');
  });
});

/** Scrolls as far as there is anything, while pages are fetched. */
function scrollToTheEnd(page: Page): Promise<void> {
  return page.evaluate(async () => {
    const end = (): string => document.querySelector('.list-end')?.textContent ?? '';
    for (let step = 0; step < 2_000 && !end().includes(' in all'); step += 1) {
      window.scrollTo(0, document.documentElement.scrollHeight);
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
    window.scrollTo(0, document.documentElement.scrollHeight);
  });
}

/**
 * @returns the median of the times between two frames, since a busy machine makes some of them long; and the most rows there were,
 * while the list scrolls back to its start.
 */
function scrollBack(page: Page): Promise<{ typicalMs: number; mostRows: number }> {
  return page.evaluate(async () => {
    const frame = (): Promise<number> => new Promise((resolve) => requestAnimationFrame(resolve));
    const height = document.documentElement.scrollHeight;
    const timesMs: number[] = [];
    let mostRows = 0;
    let before = await frame();
    for (let step = 30; step >= 0; step -= 1) {
      window.scrollTo(0, (height * step) / 30);
      const now = await frame();
      timesMs.push(now - before);
      mostRows = Math.max(mostRows, document.querySelectorAll('[role=row]').length);
      before = now;
    }
    const typicalMs = timesMs.toSorted((one, other) => one - other)[Math.floor(timesMs.length / 2)]!;
    return { typicalMs, mostRows };
  });
}
