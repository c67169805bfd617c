import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

/**
 * Checks that a tag names the version of both packages, and that CHANGELOG.md has a section for it. It ends with code 1 if not:
 *
 *     node scripts/release/tag.ts v1.0.0
 */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const [tag, ...more] = process.argv.slice(2);
if (tag === undefined || more.length > 0) {
  process.stderr.write('Say which tag.\n');
  process.exit(2);
}
const problems = ['package.json', 'packages/nestjs-dtc/package.json'].flatMap((file) => {
  const { version } = JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as { readonly version: string };
  return tag === `v${version}` ? [] : [`${file} has the version ${version}.`];
});
if (!readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8').includes(`\n## ${tag.slice(1)} - `))
  problems.push('CHANGELOG.md has no section for it.');
for (const problem of problems) process.stdout.write(`${tag}: ${problem}\n`);
if (problems.length > 0) process.exitCode = 1;
