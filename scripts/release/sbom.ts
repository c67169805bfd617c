import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Bom, type Lock, withoutDevelopment } from './bill-of-materials.ts';

/**
 * Writes a list of all packages that the application and the library have when they run, as CycloneDX:
 *
 *     npm run sbom [-- file]
 *
 * It is made from package-lock.json. Without a name the file is `build/sbom.cdx.json`.
 */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const [given = 'build/sbom.cdx.json'] = process.argv.slice(2);
const args = ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'];
const { status, stdout, stderr } = spawnSync('npm', args, {
  cwd: ROOT,
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
  // On Windows npm is a script of the shell.
  shell: process.platform === 'win32',
});
if (status !== 0) {
  process.stderr.write(`${stderr}\nnpm sbom ended with code ${status}, so nothing was written.\n`);
  process.exit(1);
}
const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as Lock;
const bom = withoutDevelopment(JSON.parse(stdout) as Bom, lock);
const file = resolve(given);
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, `${JSON.stringify(bom, undefined, 2)}\n`);
process.stdout.write(`${bom.components.length} packages: ${file}\n`);
