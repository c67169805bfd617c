import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { CHROMIUM_PATH, DESKTOP, Visit, launchChromium } from '../../test/dashboard/support/browser.js';

/** A picture of a page of the dashboard. */
export interface Shot {
  readonly name: string;
  /** The page, such as `#/transactions`. */
  readonly hash: string;
}

/** The credential of the operator, and the address of the dashboard. */
export interface Viewer {
  readonly origin: string;
  readonly token: string;
}

/** Takes pictures of the dashboard, if there is a browser. */
export class Pictures {
  /** The names of the pictures that could not be taken. */
  readonly missing: string[] = [];

  /** @param folder of the pictures. */
  constructor(private readonly folder: string) {}

  /**
   * @returns a sentence for each picture: where it is, or why there is none. The incident does not wait for a
   * picture that fails.
   */
  async take(viewer: Viewer, shots: readonly Shot[]): Promise<string[]> {
    if (CHROMIUM_PATH === undefined) {
      const names = shots.map(({ name }) => name);
      this.missing.push(...names);
      return [`No Chromium was found, so there is no picture of ${names.join(', ')}.`];
    }
    await mkdir(this.folder, { recursive: true });
    const browser = await launchChromium();
    try {
      const told: string[] = [];
      for (const shot of shots) told.push(await this.takeOne(browser, viewer, shot));
      return told;
    } finally {
      await browser.close();
    }
  }

  private async takeOne(browser: Browser, viewer: Viewer, { name, hash }: Shot): Promise<string> {
    const path = join(this.folder, `${name}.png`);
    let visit: Visit | undefined;
    try {
      visit = await Visit.open(browser, viewer, { ...viewer, hash, viewport: DESKTOP });
      await visit.page.getByText('live', { exact: true }).waitFor();
      await visit.page.locator('main h1').waitFor();
      await visit.page.locator('main h2, main [role=row], main tbody tr').first().waitFor();
      await visit.page.screenshot({ path });
      return `A picture: ${path}`;
    } catch (error) {
      this.missing.push(name);
      return `There is no picture ${name}: ${(error as Error).message.split('\n', 1)[0]}`;
    } finally {
      await visit?.close();
    }
  }
}
