/** One bar of a chart, and its target. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly target?: number | undefined;
}

const MARGIN = 20;
const LABELS = 470;
const PLOT = 400;
const VALUES = 60;
const ROW = 24;
const BAR = 14;
const TOP = 64;
const AXIS = 34;
const TICKS = 5;

/**
 * Draws horizontal bars, with a line at 1 and a mark at each target.
 *
 * @param note the text below the title.
 * @returns SVG that is readable on light and dark pages.
 */
export function barChart(title: string, note: string, bars: readonly Bar[]): string {
  const step = stepFor(Math.max(1, ...bars.flatMap(({ value, target }) => [value, target ?? 0])));
  const most = step * TICKS;
  const x = (value: number): number => round(MARGIN + LABELS + (Math.min(value, most) / most) * PLOT);
  const [width, bottom] = [MARGIN * 2 + LABELS + PLOT + VALUES, TOP + bars.length * ROW];
  const height = bottom + AXIS;
  const ticks = Array.from({ length: TICKS + 1 }, (_none, index) => step * index).map(
    (value) =>
      `<line class="grid" x1="${x(value)}" y1="${TOP}" x2="${x(value)}" y2="${bottom}"/>` +
      `<text class="tick" x="${x(value)}" y="${bottom + 18}">${shown(value)}</text>`,
  );
  const rows = bars.map((bar, index) => row(bar, TOP + index * ROW, x));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>${escaped(title)}</title>
<!-- Made by npm run bench. -->
<style>
text { font: 13px system-ui, sans-serif; fill: #1c2733; }
.title { font-size: 16px; font-weight: 700; }
.note, .tick { fill: #4a5a6a; }
.tick { text-anchor: middle; }
.label { text-anchor: end; }
.bar { fill: #2f5d8a; }
.grid { stroke: #d8e1ea; }
.one { stroke: #1c2733; stroke-dasharray: 4 3; }
.target { stroke: #c0392b; stroke-width: 3; }
</style>
<rect width="${width}" height="${height}" fill="#fbfcfe"/>
<text class="title" x="${MARGIN}" y="26">${escaped(title)}</text>
<text class="note" x="${MARGIN}" y="46">${escaped(note)}</text>
${[...ticks, ...rows].join('\n')}
<line class="one" x1="${x(1)}" y1="${TOP}" x2="${x(1)}" y2="${bottom}"/>
</svg>
`;
}

function row({ label, value, target }: Bar, y: number, x: (value: number) => number): string {
  const [left, middle] = [x(0), y + ROW / 2 + 4];
  const mark =
    target === undefined
      ? ''
      : `<line class="target" x1="${x(target)}" y1="${y + 2}" x2="${x(target)}" y2="${y + ROW - 2}"/>`;
  const end = round(Math.max(x(value), x(target ?? 0)) + 8);
  return (
    `<text class="label" x="${left - 8}" y="${middle}">${escaped(label)}</text>` +
    `<rect class="bar" x="${left}" y="${y + (ROW - BAR) / 2}" width="${round(x(value) - left)}" height="${BAR}"/>` +
    `${mark}<text x="${end}" y="${middle}">${shown(value)}</text>`
  );
}

/**
 * @returns the distance between two ticks, so that five ticks reach the highest value: 1, 2 or 5 times a
 * power of ten.
 */
function stepFor(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most / TICKS));
  return [1, 2, 5, 10].map((times) => times * power).find((step) => step * TICKS >= most)!;
}

function shown(value: number): string {
  return Number(value.toPrecision(3)).toString();
}

function round(value: number): number {
  return Number(value.toFixed(1));
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
