import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** The files that a build reads. A test file changes nothing that is built. */
const INPUTS = [
  'src/**/*.ts',
  'src/demo/page/*',
  'dashboard/**/*',
  // The dashboard shows the paragraphs of the runbook.
  'docs/runbook.md',
  'package.json',
  'package-lock.json',
  'nest-cli.json',
  'tsconfig.json',
  'tsconfig.build.json',
];
const NOT_INPUTS = /\.(?:spec|fixture)\.ts$/;

/**
 * The file with the state of the inputs: before a build a file of its own, after it a file beside the result.
 */
const BEFORE = 'build/inputs-before';
/** A build deletes it with the rest of its folder, so an interrupted build leaves none. */
const AFTER = 'dist/.inputs';

/** The files that a build must have made. If one is missing, it was deleted by hand. */
const OUTPUTS = [
  'dist/main.js',
  'dist/main-postgres.js',
  'dist/main-cluster.js',
  'dist/main-coordinator.js',
  'dist/main-member.js',
  'dist/main-log-check.js',
  'dist/dashboard/index.html',
];

/**
 * @param root the folder of the project.
 * @returns a digest of the names and contents of all files that a build reads. Times do not count: a checkout
 * changes them.
 */
export function digestOfInputs(root: string): string {
  const hash = createHash('sha256');
  const files = globSync(INPUTS, { cwd: root, withFileTypes: true })
    .filter((entry) => entry.isFile() && !NOT_INPUTS.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  for (const file of files.toSorted()) {
    const content = readFileSync(file);
    hash.update(`${relative(root, file).replaceAll('\\', '/')}\n${content.length}\n`).update(content);
  }
  return hash.digest('hex');
}

/** @returns whether the last build is complete, and was made from the inputs as they are. */
export function isBuilt(root: string): boolean {
  return (
    OUTPUTS.every((file) => existsSync(join(root, file))) && read(join(root, AFTER)) === digestOfInputs(root)
  );
}

/** Notes the inputs before they are built. */
export function noteBefore(root: string): void {
  const file = join(root, BEFORE);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, digestOfInputs(root));
}

/** Notes that the inputs are built, unless one was changed meanwhile: then the next start builds again. */
export function noteAfter(root: string): void {
  const before = read(join(root, BEFORE));
  rmSync(join(root, BEFORE), { force: true });
  if (before === digestOfInputs(root)) writeFileSync(join(root, AFTER), before);
}

function read(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}
