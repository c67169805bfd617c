import { basename } from 'node:path';
import { arrowsBetween, reaches } from './graph.ts';
import type { Import, Sources } from './imports.ts';
import { type Layout, layOut, type Part } from './layout.ts';
import { boxFor, draw, label, svg } from './svg.ts';

const CORE = 'coordinator';
const EXECUTION = 'src/coordinator/execution/';
const FRAME = 22;
const HEAD = 34;
const FLOOR_LABEL = 70;

/** The name of each part of the architecture, and its contents. */
type Texts = Map<string, readonly string[]>;

/** @returns the pictures that documents show, by the names of their files. */
export function pictures(sources: Sources): Map<string, string> {
  return new Map([
    ['architecture.svg', architecture(sources)],
    ['execution.svg', execution(sources)],
  ]);
}

/** The folders of src/, and in the coordinator's box its own folders and the files beside them. */
function architecture({ files, imports }: Sources): string {
  const partInside = partsOfCore(files, imports);
  const inner = arrowsBetween(imports, partInside);
  const innerTexts: Texts = new Map();
  for (const part of unique(files.map((file) => partInside(file)))) {
    const own = part.startsWith('(') ? files.filter((file) => partInside(file) === part).map(nameOf) : [];
    innerTexts.set(part, own.length === 0 ? [`${part}/`] : [part.slice(1, -1), ...inColumns(own)]);
  }
  const inside = layOut(partsOf(innerTexts), inner, false);

  const outerTexts: Texts = new Map();
  for (const part of unique(files.map((file) => folderOf(file)))) {
    const own = part === '(application)' ? files.filter((file) => folderOf(file) === part).map(nameOf) : [];
    outerTexts.set(part, own.length === 0 ? [`${part}/`] : ['the application', ...inColumns(own)]);
  }
  const frame = {
    id: CORE,
    width: Math.ceil(inside.width) + 2 * FRAME,
    height: Math.ceil(inside.height) + HEAD + FRAME,
  };
  const outside = layOut(
    [...partsOf(outerTexts).filter(({ id }) => id !== CORE), frame],
    arrowsBetween(imports, folderOf),
    true,
  );
  const { x, y } = outside.places.get(CORE)!;
  const content = [draw(outside, outerTexts), draw(inside, innerTexts, x + FRAME, y + HEAD)].join('\n');
  return svg('The folders of src/ and their imports', { ...outside, content }, [
    'An arrow: at least one file imports from the other folder. Pale: a longer way leads there too.',
    ...notesOn([...inside.lines, ...outside.lines]),
  ]);
}

/** The files of execution/ in floors: each stands above all that it imports. */
function execution({ files, imports }: Sources): string {
  const own = files.filter((file) => file.startsWith(EXECUTION));
  const texts: Texts = new Map(own.map((file) => [idOf(file), [idOf(file)]]));
  const layout = layOut(
    partsOf(texts),
    arrowsBetween(imports, (file) => (file.startsWith(EXECUTION) ? idOf(file) : undefined)),
    false,
  );
  const floors = new Map([...layout.places.values()].map(({ floor, y }) => [floor, y]));
  const content = [
    draw(layout, texts, FLOOR_LABEL),
    ...[...floors].map(([floor, y]) => label(`floor ${floor}`, 0, y + 18)),
  ];
  const picture = { width: layout.width + FLOOR_LABEL, height: layout.height, content: content.join('\n') };
  return svg('The files of execution/ and their imports', picture, [
    `${own.length} files on ${floors.size} floors, ${layout.lines.length} arrows. Pale: a longer way leads there too.`,
    ...notesOn(layout.lines),
  ]);
}

function notesOn(lines: Layout['lines']): string[] {
  const up = lines.filter((line) => line.up);
  if (up.length === 0) return ['No arrow leads back up.'];
  return [
    'Red: against the direction of the others, between folders; no cycle of files is among them.',
    ...up.map((line) => `${line.from} → ${line.to}${line.typesOnly ? ', types only' : ''}`),
  ];
}

/**
 * The files of the coordinator that stand beside its folders are of three kinds: `(shared values)`, which
 * need no part of the execution; `(the manager)`, which drives it and is imported by a folder; and `(what
 * users import)`, the others.
 */
function partsOfCore(
  files: readonly string[],
  imports: readonly Import[],
): (file: string) => string | undefined {
  const links = arrowsBetween(imports, (file) => file);
  const core = files.filter((file) => file.startsWith('src/coordinator/'));
  const below = core.filter((file) => file.split('/').length > 3);
  const kinds = new Map<string, string>();
  for (const file of core.filter((each) => !below.includes(each))) {
    if (!below.some((other) => other.startsWith(EXECUTION) && reaches(links, file, other))) {
      kinds.set(file, '(shared values)');
    } else if (below.some((other) => reaches(links, other, file))) kinds.set(file, '(the manager)');
    else kinds.set(file, '(what users import)');
  }
  return (file) => kinds.get(file) ?? (below.includes(file) ? file.split('/')[2] : undefined);
}

function folderOf(file: string): string {
  const [, folder, ...below] = file.split('/');
  return below.length === 0 ? '(application)' : folder!;
}

function partsOf(texts: Texts): Part[] {
  return [...texts].map(([id, lines]) => boxFor(id, lines));
}

/** Three names a line, so that a box grows no taller than it must. */
function inColumns(names: readonly string[]): string[] {
  const lines: string[] = [];
  for (let index = 0; index < names.length; index += 3) lines.push(names.slice(index, index + 3).join(', '));
  return lines;
}

function idOf(file: string): string {
  return file.slice(EXECUTION.length).replace(/\.ts$/, '');
}

function nameOf(file: string): string {
  return basename(file, '.ts');
}

function unique(names: readonly (string | undefined)[]): string[] {
  return [...new Set(names)].filter((name) => name !== undefined).toSorted();
}
