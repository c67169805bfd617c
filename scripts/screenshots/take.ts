import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Browser } from 'playwright-core';
import {
  CHROMIUM_PATH,
  DESKTOP,
  PHONE,
  Visit,
  type VisitOptions,
  launchChromium,
} from '../../test/dashboard/support/browser.js';
import { buildDashboard } from '../../test/dashboard/support/build-dashboard.js';
import { OPERATOR_TOKEN } from '../../test/dashboard/support/callers.js';
import { FakeCoordinator } from '../../test/dashboard/support/fake-coordinator.js';
import { STALLED_ID } from '../../test/dashboard/support/scenario.js';

/**
 * Makes the pictures of the dashboard in `docs/images`, with scripted data and the Chromium that is installed:
 *
 *     npm run screenshots [-- folder]
 */
interface Shot {
  readonly name: string;
  readonly hash: string;
  readonly colorScheme: 'light' | 'dark';
  readonly viewport: NonNullable<VisitOptions['viewport']>;
  /** The dialog of this action is open. */
  readonly action?: RegExp;
}

const TRANSACTION = `#/transactions/${STALLED_ID}`;
const SHOTS: readonly Shot[] = [
  { name: 'overview-light', hash: '#/', colorScheme: 'light', viewport: DESKTOP },
  { name: 'overview-dark', hash: '#/', colorScheme: 'dark', viewport: DESKTOP },
  { name: 'overview-phone-light', hash: '#/', colorScheme: 'light', viewport: PHONE },
  { name: 'transaction-light', hash: TRANSACTION, colorScheme: 'light', viewport: DESKTOP },
  { name: 'transaction-dark', hash: TRANSACTION, colorScheme: 'dark', viewport: DESKTOP },
  { name: 'transaction-phone-dark', hash: TRANSACTION, colorScheme: 'dark', viewport: PHONE },
  {
    name: 'confirmation-light',
    hash: TRANSACTION,
    colorScheme: 'light',
    viewport: DESKTOP,
    action: /^Resolve by hand/,
  },
  { name: 'transactions-light', hash: '#/transactions', colorScheme: 'light', viewport: DESKTOP },
  { name: 'participants-dark', hash: '#/participants', colorScheme: 'dark', viewport: DESKTOP },
];
/** The figures show this many seconds, which are sent at once. */
const SECONDS = 120;

async function take(browser: Browser, fake: FakeCoordinator, shot: Shot, folder: string): Promise<void> {
  const visit = await Visit.open(browser, fake, { ...shot, token: OPERATOR_TOKEN });
  const { page } = visit;
  await page.getByText('live', { exact: true }).waitFor();
  for (let second = 0; second < SECONDS; second += 1) fake.passSecond();
  await page.locator('main h2, main [role=row]').first().waitFor();
  if (shot.action !== undefined) {
    await page.getByRole('button', { name: shot.action }).click();
    await page.getByRole('radio', { name: /^Rolled back/ }).check();
    await page.getByRole('textbox').fill('The provider shows no charge for this order, ticket 4711.');
  }
  await page.screenshot({ path: join(folder, `${shot.name}.png`) });
  await visit.close();
}

if (CHROMIUM_PATH === undefined) {
  process.stderr.write('No Chromium was found: install it, or set CHROMIUM_PATH.\n');
  process.exit(1);
}
const folder = resolve(process.argv[2] ?? 'docs/images');
await mkdir(folder, { recursive: true });
const built = await buildDashboard();
const browser = await launchChromium();
try {
  for (const shot of SHOTS) {
    const fake = await FakeCoordinator.start({ folder: built });
    fake.scenario.aheadMs = -SECONDS * 1_000;
    await take(browser, fake, shot, folder);
    await fake.stop();
    process.stdout.write(`${shot.name}\n`);
  }
} finally {
  await browser.close();
  await rm(built, { recursive: true, force: true });
}
