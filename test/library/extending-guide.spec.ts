import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { participantOptionsSchema } from '../../src/coordinator/participant/participant.options.js';

const repository = resolve(import.meta.dirname, '../..');
const guide = readFileSync(join(repository, 'docs/extending.md'), 'utf8');
const folder = join(repository, 'samples/shipping');
/** The sample, importing the library as a user of the package does. */
const sample = readdirSync(folder)
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(join(folder, file), 'utf8'))
  .map((source) => bare(source.replace(/'(?:\.\.\/)+src\/coordinator\/index\.js'/g, "'nestjs-dtc'")));
const blocks = Array.from(guide.matchAll(/^```ts\n(.*?)^```$/gms), ([, code]) => code!);

/** A method stands less deep in the guide than in its class, so white space does not count. */
function bare(code: string): string {
  return code.replaceAll(/\s+/g, '');
}

describe('the guide to adding a participant', () => {
  it('shows code', () => {
    expect(blocks.length).toBeGreaterThan(8);
  });

  it.each(blocks.map((code) => [code.split('\n')[0]!, code]))(
    'shows code of the sample: %s',
    (_first, code) => {
      expect(sample.filter((source) => source.includes(bare(code)))).toHaveLength(1);
    },
  );

  it('names every option of a participant, and no other', () => {
    const table = guide.slice(guide.indexOf('### Options'), guide.indexOf('## The module'));
    const rows = table.matchAll(/^\| (`[^|]*`) +\|/gm);
    const named = Array.from(rows, ([, cell]) =>
      cell!.split(', ').map((name) => name.replaceAll('`', '')),
    ).flat();
    expect(named.toSorted()).toEqual(Object.keys(participantOptionsSchema.shape).toSorted());
  });
});
