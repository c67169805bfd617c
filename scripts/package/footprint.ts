/**
 * Says how much the library adds to a Nest application on Express: packages and megabytes.
 * `npm run footprint -- <tarball>` measures another release.
 */
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const REPOSITORY = join(import.meta.dirname, '../..');
const NEST_ON_EXPRESS = {
  '@nestjs/common': '^12.0.0',
  '@nestjs/core': '^12.0.0',
  '@nestjs/platform-express': '^12.0.0',
  'reflect-metadata': '^0.2.2',
  rxjs: '^7.8.2',
};

const application = mkdtempSync(join(tmpdir(), 'footprint-'));
try {
  const manifest = { name: 'application', private: true, dependencies: NEST_ON_EXPRESS };
  writeFileSync(join(application, 'package.json'), JSON.stringify(manifest));
  install();
  const before = measured();
  install(process.argv[2] === undefined ? pack() : resolve(process.argv[2]));
  const after = measured();
  console.log(`A Nest application on Express: ${before.packages} packages, ${megabytes(before.bytes)} MB.`);
  console.log(`With nestjs-dtc: ${after.packages} packages, ${megabytes(after.bytes)} MB.`);
  console.log(
    `Added: ${after.packages - before.packages} packages, ${megabytes(after.bytes - before.bytes)} MB.`,
  );
} finally {
  rmSync(application, { recursive: true, force: true });
}

function pack(): string {
  const output = npm(
    REPOSITORY,
    'pack',
    '--workspace',
    'nestjs-dtc',
    '--json',
    '--pack-destination',
    application,
  );
  const name = /"filename": "([^"]+)"/.exec(output)?.[1];
  if (name === undefined) throw new Error(`npm pack names no file:\n${output}`);
  return join(application, name);
}

function install(...packages: string[]): void {
  npm(application, 'install', '--no-audit', '--no-fund', '--prefer-offline', ...packages);
}

function npm(folder: string, ...args: string[]): string {
  return execFileSync('npm', args, {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    shell: process.platform === 'win32',
  });
}

function measured(): { packages: number; bytes: number } {
  const modules = join(application, 'node_modules');
  const lock = JSON.parse(readFileSync(join(modules, '.package-lock.json'), 'utf8')) as { packages: object };
  return { packages: Object.keys(lock.packages).length, bytes: bytesIn(modules) };
}

/** The room that files take on a disk with blocks of 4 KiB. */
function bytesIn(folder: string): number {
  const sizes = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => {
    const stats = lstatSync(join(folder, name));
    return stats.isFile() ? Math.ceil(stats.size / 4_096) * 4_096 : 0;
  });
  return sizes.reduce((sum, size) => sum + size, 0);
}

function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(1);
}
