import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const SAMPLES = 'samples/orms';

/** The code of the samples, with the imports that an application has. */
function samples(): Map<string, string> {
  const files = readdirSync(join(ROOT, SAMPLES)).filter((file) => file.endsWith('.participant.ts'));
  return new Map(
    files.map((file) => [
      file,
      readFileSync(join(ROOT, SAMPLES, file), 'utf8')
        .replaceAll('../../src/coordinator/index.js', 'nestjs-dtc')
        .replaceAll('../../src/postgres/index.js', 'nestjs-dtc/postgres'),
    ]),
  );
}

describe('the page on ORMs', () => {
  it('shows each sample as it is tested, and no other code', () => {
    const page = readFileSync(join(ROOT, 'docs/orms.md'), 'utf8');
    const blocks = Array.from(page.matchAll(/^```ts\n(.*?)^```$/gms), ([, code]) => code!);
    expect(blocks.length).toBeGreaterThan(4);
    expect(blocks.toSorted()).toEqual([...samples().values()].toSorted());
  });
});
