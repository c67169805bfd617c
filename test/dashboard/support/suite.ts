import { rm } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { CHROMIUM_PATH, type Site, Visit, type VisitOptions, launchChromium } from './browser.js';
import { buildDashboard } from './build-dashboard.js';
import { OPERATOR_TOKEN } from './callers.js';
import { FakeCoordinator, type FakeOptions } from './fake-coordinator.js';

/** The common parts of every test of the dashboard in a browser. Pages and coordinators end with the test. */
export interface Suite {
  fake(options?: Omit<FakeOptions, 'folder'>): Promise<FakeCoordinator>;
  /** Nothing may go wrong in a page, unless the test takes its complaints away. */
  visit(site: Site, options?: VisitOptions): Promise<Visit>;
  /** The output of the build of the dashboard. */
  readonly folder: string;
  /** The page of an operator, connected to a coordinator of its own. */
  open(hash: string, options?: VisitOptions): Promise<{ fake: FakeCoordinator; page: Page }>;
}

/** Whether there is a browser to test in. */
export const HAS_CHROMIUM = CHROMIUM_PATH !== undefined;

if (!HAS_CHROMIUM) {
  process.stderr.write(
    'The dashboard is not tested: no Chromium is here. Install it, or set CHROMIUM_PATH.\n',
  );
}

/** To be called in a `describe`, which is skipped where {@link HAS_CHROMIUM} is not. */
export function useBrowser(): Suite {
  let folder: string;
  let browser: Browser;
  const fakes: FakeCoordinator[] = [];
  const visits: Visit[] = [];

  beforeAll(async () => {
    [folder, browser] = await Promise.all([buildDashboard(), launchChromium()]);
  });
  afterEach(async () => {
    const complaints = visits.flatMap((visit) => visit.complaints);
    await Promise.all(visits.splice(0).map((visit) => visit.close()));
    await Promise.all(fakes.splice(0).map((fake) => fake.stop()));
    expect(complaints).toEqual([]);
  });
  afterAll(async () => {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  });

  const suite: Suite = {
    async fake(options = {}) {
      const fake = await FakeCoordinator.start({ ...options, folder });
      fakes.push(fake);
      return fake;
    },
    get folder() {
      return folder;
    },
    async visit(site, options) {
      const visit = await Visit.open(browser, site, options);
      visits.push(visit);
      return visit;
    },
    async open(hash, options = {}) {
      const fake = await suite.fake();
      const { page } = await suite.visit(fake, { token: OPERATOR_TOKEN, ...options, hash });
      await page.locator('header .pulse-live').waitFor();
      return { fake, page };
    },
  };
  return suite;
}

/** Goes to another page of the dashboard, and waits until it is there in full. */
export async function goTo(page: Page, hash: string): Promise<void> {
  await page.evaluate((value) => {
    location.hash = value;
  }, hash);
  await page.locator('main h1').waitFor();
  await expect.poll(() => page.locator('main').innerText()).not.toMatch(/Loading|Waiting/);
}
