import { existsSync } from 'node:fs';
import { type Browser, type BrowserContext, type Page, chromium } from 'playwright-core';

const CANDIDATES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Where Chromium is; undefined where there is none. `CHROMIUM_PATH` names another. */
export const CHROMIUM_PATH: string | undefined = [process.env['CHROMIUM_PATH'], ...CANDIDATES].find(
  (path) => path !== undefined && existsSync(path),
);

/** Far more than it takes, on a slow machine with other work. */
const LAUNCH_MS = 120_000;

/** @throws when there is no Chromium: see {@link CHROMIUM_PATH}. */
export function launchChromium(): Promise<Browser> {
  if (CHROMIUM_PATH === undefined) throw new Error('No Chromium was found. Set CHROMIUM_PATH to one.');
  // Its sandbox needs rights that a root user of a container does not have; it visits nothing but this
  // machine.
  return chromium.launch({ executablePath: CHROMIUM_PATH, args: ['--no-sandbox'], timeout: LAUNCH_MS });
}

export const DESKTOP = { width: 1280, height: 800 };
/** As narrow as phones are. */
export const PHONE = { width: 360, height: 780 };

export interface VisitOptions {
  readonly viewport?: { readonly width: number; readonly height: number };
  readonly colorScheme?: 'light' | 'dark';
  /** The initial content of the session storage. */
  readonly token?: string;
  /** The part of the address after the `#`. */
  readonly hash?: string;
}

/** Where a dashboard is served. */
export interface Site {
  /** Scheme, host and port. */
  readonly origin: string;
}

/** A page at the dashboard, and everything that went wrong in it. */
export class Visit {
  private constructor(
    readonly page: Page,
    private readonly context: BrowserContext,
    /** Errors of the console, exceptions, violations of the security policy, and requests to elsewhere. */
    readonly complaints: string[],
  ) {}

  static async open(browser: Browser, { origin }: Site, options: VisitOptions = {}): Promise<Visit> {
    const { viewport = DESKTOP, colorScheme = 'light', token, hash = '' } = options;
    const context = await browser.newContext({
      viewport,
      isMobile: viewport.width < 600,
      hasTouch: viewport.width < 600,
      colorScheme,
      reducedMotion: 'reduce',
      locale: 'en-GB',
      timezoneId: 'UTC',
    });
    const page = await context.newPage();
    // An element comes at once, but not on a machine with other work.
    page.setDefaultTimeout(40_000);
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(`exception: ${error.message}`));
    page.on('console', (message) => {
      const isSerious = ['error', 'warning'].includes(message.type());
      // The browser notes every answer that says no; those of the page's own files are looked at below.
      if (isSerious && !/responded with a status of 4/.test(message.text())) complaints.push(message.text());
    });
    page.on('response', (response) => {
      const isFile = response.url().startsWith(`${origin}/dashboard`);
      if (isFile && !response.ok()) complaints.push(`${response.status()} for ${response.url()}`);
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(`${origin}/`)) complaints.push(`a request to ${request.url()}`);
    });
    if (token !== undefined) {
      await page.addInitScript((value) => sessionStorage.setItem('dtc.token', value), token);
    }
    await page.goto(`${origin}/dashboard${hash}`);
    return new Visit(page, context, complaints);
  }

  close(): Promise<void> {
    return this.context.close();
  }
}
