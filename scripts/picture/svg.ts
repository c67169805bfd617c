import type { Layout, Line, Part, Place } from './layout.ts';

const MARGIN = 20;
/** Of a letter of the fixed-width font, in pixels at its size of 13. */
const LETTER = 7.9;
const LINE = 17;

/** A box for lines of text, of which the first is a heading. */
export function boxFor(id: string, lines: readonly string[]): Part {
  const longest = Math.max(...lines.map((line) => line.length));
  return { id, width: Math.ceil(longest * LETTER) + 20, height: lines.length * LINE + 14 };
}

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly content: string;
}

/** Draws a layout at a place of a picture. */
export function draw(layout: Layout, texts: ReadonlyMap<string, readonly string[]>, dx = 0, dy = 0): string {
  // The most important lines are drawn last, above the rest.
  const lines = layout.lines.toSorted((one, other) => rank(one) - rank(other));
  const paths = lines.map((line) => path(line));
  const boxes = [...layout.places].map(([id, place]) => box(place, texts.get(id)!));
  return `<g transform="translate(${round(dx)} ${round(dy)})">\n${[...paths, ...boxes].join('\n')}\n</g>`;
}

export function svg(title: string, { width, height, content }: Picture, notes: readonly string[]): string {
  const w = Math.ceil(width + 2 * MARGIN);
  const top = MARGIN + 24;
  const h = Math.ceil(top + height + MARGIN + notes.length * LINE + 8);
  const noted = notes.map((note, index) => {
    const y = round(top + height + MARGIN + (index + 1) * LINE - 6);
    return label(note, MARGIN, y);
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" role="img">
<title>${escape(title)}</title>
<!-- Made by npm run picture from the imports. -->
<style>
text { font: 13px ui-monospace, Menlo, Consolas, monospace; fill: #1c2733; text-anchor: middle; }
.head { font-weight: 700; }
.title, .note { text-anchor: start; font-family: system-ui, sans-serif; }
.title { font-size: 16px; font-weight: 700; }
.note { fill: #4a5a6a; }
.box { fill: #ffffff; stroke: #2f5d8a; stroke-width: 1.3; }
.frame { fill: #eef4fa; stroke: #2f5d8a; stroke-width: 1.6; }
.line { fill: none; stroke: #2f5d8a; stroke-width: 1.4; }
.implied { stroke: #bccbda; stroke-width: 1.1; }
.up { stroke: #c0392b; stroke-dasharray: 5 3; }
</style>
<defs>
${['line', 'implied', 'up'].map((kind) => marker(kind)).join('\n')}
</defs>
<rect width="${w}" height="${h}" fill="#fbfcfe"/>
<text class="title" x="${MARGIN}" y="${MARGIN + 6}">${escape(title)}</text>
<g transform="translate(${MARGIN} ${top})">
${content}
</g>
${noted.join('\n')}
</svg>
`;
}

/** A word beside what is drawn. */
export function label(text: string, x: number, y: number): string {
  return `<text class="note" x="${round(x)}" y="${round(y)}">${escape(text)}</text>`;
}

function marker(kind: string): string {
  const colour = { line: '#2f5d8a', implied: '#bccbda', up: '#c0392b' }[kind];
  return `<marker id="${kind}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0.8 8 4 0 7.2z" fill="${colour}"/></marker>`;
}

function path(line: Line): string {
  const [first, ...others] = line.points;
  let d = `M${round(first!.x)} ${round(first!.y)}`;
  let last = first!;
  for (const point of others) {
    const middle = round((last.y + point.y) / 2);
    d +=
      last.x === point.x
        ? `V${round(point.y)}`
        : `C${round(last.x)} ${middle} ${round(point.x)} ${middle} ${round(point.x)} ${round(point.y)}`;
    last = point;
  }
  const kind = kindOf(line);
  // It does not say how many imports: otherwise each new import would change the picture.
  const told = `${line.from} → ${line.to}${line.typesOnly ? ', types only' : ''}`;
  return `<path class="line ${kind}" marker-end="url(#${kind})" d="${d}"><title>${escape(told)}</title></path>`;
}

function kindOf({ up, implied }: Line): string {
  if (up) return 'up';
  return implied ? 'implied' : 'line';
}

function rank({ up, implied }: Line): number {
  if (up) return 2;
  return implied ? 0 : 1;
}

function box({ x, y, width, height }: Place, lines: readonly string[]): string {
  const rect = `<rect class="${height > 300 ? 'frame' : 'box'}" x="${round(x)}" y="${round(y)}" width="${width}" height="${height}" rx="6"/>`;
  const texts = lines.map((line, index) => {
    const kind = index === 0 ? ' class="head"' : '';
    return `<text${kind} x="${round(x + width / 2)}" y="${round(y + 7 + (index + 1) * LINE - 4)}">${escape(line)}</text>`;
  });
  return [rect, ...texts].join('');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
