import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';

/**
 * @returns the problems for people who use the page: controls without a name, headings out of order, faint
 * letters, and the findings of axe.
 */
export async function obstaclesIn(page: Page): Promise<string[]> {
  const [unnamed, headings, faint] = await Promise.all([
    unnamedControls(page),
    headingGaps(page),
    faintText(page),
  ]);
  return [...unnamed, ...headings, ...faint, ...(await violationsIn(page))];
}

/** The source of axe-core; undefined where it is not installed, which is told. */
const AXE = sourceOfAxe();

function sourceOfAxe(): string | undefined {
  try {
    return readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    process.stderr.write('The dashboard is not checked with axe-core: it is not installed. Run npm ci.\n');
    return undefined;
  }
}

/** The part of axe-core that is used. */
interface Axe {
  run(): Promise<{
    readonly violations: readonly {
      readonly id: string;
      readonly help: string;
      readonly nodes: readonly { readonly html: string }[];
    }[];
  }>;
}

/**
 * By axe-core, with all rules that it has on by itself: WCAG 2.0 to 2.2, levels A and AA, and best practices.
 */
async function violationsIn(page: Page): Promise<string[]> {
  if (AXE === undefined) return [];
  // As the debugger does it: the security policy of the page lets no script in.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = window as unknown as { readonly axe: Axe };
    const { violations } = await axe.run();
    return violations.flatMap(({ id, help, nodes }) =>
      nodes.map(({ html }) => `axe: ${id} (${help}): ${html.slice(0, 200)}`),
    );
  });
}

/** @returns the words that stand on two lines. A run of more than 20 letters and digits is no word. */
export function brokenWordsIn(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    /** Text for screen readers alone is in a box of one pixel. */
    const isClipped = (element: Element | null): boolean =>
      element !== null && (element.getBoundingClientRect().width <= 1 || isClipped(element.parentElement));
    const broken = new Set<string>();
    const range = document.createRange();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (!node.parentElement!.checkVisibility() || isClipped(node.parentElement)) continue;
      for (const { 0: word, index } of node.textContent!.matchAll(/[\p{L}\p{N}]{2,20}/gu)) {
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        const lines = new Set([...range.getClientRects()].map(({ top }) => Math.round(top)));
        if (lines.size > 1) broken.add(word);
      }
    }
    return [...broken];
  });
}

/** By the accessibility tree of the browser itself. */
async function unnamedControls(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send('Accessibility.getFullAXTree');
  await session.detach();
  const controls =
    /^(?:button|link|textbox|searchbox|combobox|radio|checkbox|dialog|navigation|table|image|img)$/i;
  return nodes
    .filter(({ ignored, role }) => !ignored && controls.test(String(role?.value)))
    .filter(({ name }) => String(name?.value ?? '').trim() === '')
    .map(({ role }) => `a ${String(role?.value)} without a name`);
}

async function headingGaps(page: Page): Promise<string[]> {
  const levels = await page
    .locator('h1, h2, h3, h4')
    .evaluateAll((headings) => headings.map((heading) => Number(heading.tagName.slice(1))));
  const gaps = levels.filter((level, index) => level > (levels[index - 1] ?? 0) + 1);
  const firsts = levels.filter((level) => level === 1).length;
  return [
    ...gaps.map((level) => `a heading of level ${level} out of order`),
    ...(firsts === 1 ? [] : [`${firsts} h1`]),
  ];
}

/** WCAG 2.2, success criterion 1.4.3: letters against the ground they stand on, 4.5 : 1. */
function faintText(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    type Colour = [red: number, green: number, blue: number, alpha: number];
    const parse = (text: string): Colour => {
      const [red = 0, green = 0, blue = 0, alpha = 1] = (text.match(/[\d.]+/g) ?? []).map(Number);
      return [red, green, blue, alpha];
    };
    const luminance = ([red, green, blue]: Colour): number => {
      const [r, g, b] = [red, green, blue].map((value) => {
        const share = value / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
    };
    const groundOf = (element: Element | null): Colour => {
      for (let current = element; current !== null; current = current.parentElement) {
        const colour = parse(getComputedStyle(current).backgroundColor);
        if (colour[3] === 1) return colour;
      }
      return [255, 255, 255, 1];
    };
    const faint = new Set<string>();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.textContent?.trim() ?? '';
      const element = walker.currentNode.parentElement!;
      const isPicture = element.namespaceURI !== 'http://www.w3.org/1999/xhtml';
      if (text === '' || !element.checkVisibility() || element.closest(':disabled, noscript, title') !== null)
        continue;
      const style = getComputedStyle(element);
      const letters = luminance(parse(isPicture ? style.fill : style.color));
      const ground = luminance(groundOf(element));
      const contrast = (Math.max(letters, ground) + 0.05) / (Math.min(letters, ground) + 0.05);
      if (contrast < 4.5) faint.add(`“${text.slice(0, 40)}” has a contrast of ${contrast.toFixed(2)}`);
    }
    return [...faint];
  });
}
