import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const SAMPLES = ['samples/orms', 'samples/prisma'];

/** The code of the samples, with the imports that an application has. */
function samples(): string[] {
  return SAMPLES.flatMap((folder) =>
    readdirSync(join(ROOT, folder))
      .filter((file) => file.endsWith('.participant.ts'))
      .map((file) => readFileSync(join(ROOT, folder, file), 'utf8'))
      .map((code) => code.replaceAll('../../src/coordinator/index.js', 'nestjs-dtc'))
      .map((code) => code.replaceAll('../../src/postgres/index.js', 'nestjs-dtc/postgres')),
  );
}

describe('the page on ORMs', () => {
  it('shows each sample as it is tested, and no other code', () => {
    const page = readFileSync(join(ROOT, 'docs/orms.md'), 'utf8');
    const blocks = Array.from(page.matchAll(/^```ts\n(.*?)^```$/gms), ([, code]) => code!);
    expect(blocks.length).toBe(6);
    expect(blocks.toSorted()).toEqual(samples().toSorted());
  });
});

describe('the page on MariaDB', () => {
  it('shows the connections for ORMs as they are tested', () => {
    const page = readFileSync(join(ROOT, 'docs/mariadb.md'), 'utf8');
    const code = readFileSync(join(ROOT, 'samples/orms/mariadb/connections.ts'), 'utf8');
    expect(page).toContain(`\`\`\`ts\n${code}\`\`\``);
  });
});
