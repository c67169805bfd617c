import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const page = readFileSync(join(ROOT, 'docs/commonjs-and-jest.md'), 'utf8');
const blocks = Array.from(
  page.matchAll(/^<!-- sample: (\S+) -->\n+```\w+\n(.*?)^```$/gms),
  ([, file, code]) => ({
    file: file!,
    code: code!.trim(),
  }),
);

describe('the page on CommonJS and Jest', () => {
  it('names for each of its blocks the file that it is from', () => {
    expect(blocks.length).toBeGreaterThan(3);
    expect(page.match(/^```\w+$/gm)).toHaveLength(blocks.length);
  });

  it.each(blocks)('shows lines of $file', ({ file, code }) => {
    const sample = join(ROOT, 'samples/commonjs', file);
    expect(readFileSync(existsSync(sample) ? sample : join(ROOT, file), 'utf8')).toContain(code);
  });
});
