import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { postgresLogSettingsSchema } from '../../src/postgres/log/options.js';
import { postgresSettingsSchema } from '../../src/postgres/options.js';

const page = readFileSync(join(import.meta.dirname, '../../docs/scale.md'), 'utf8').replaceAll(/ +/g, ' ');

describe('the page on scale', () => {
  it('counts connections with the defaults of the participants', () => {
    const { workConnections, completionConnections } = postgresSettingsSchema.parse({});
    const perParticipant = workConnections + completionConnections + 1;

    expect(page).toContain(
      `\`workConnections\` (${workConnections}) + \`completionConnections\` (${completionConnections}) + 1 for the claim = ` +
        `${perParticipant}. The shop has 4 more for reads: ${perParticipant + 4} `,
    );
    expect(page).toContain(`(3 + 1) × ${perParticipant + 4} + 20 | ${4 * (perParticipant + 4) + 20} |`);
  });

  it('names the retention of outcomes, and the room that the outcomes of a day take', () => {
    const hours = postgresLogSettingsSchema.parse({}).outcomeRetentionMs / 3_600_000;
    const bytes = Array.from(page.matchAll(/(\d+) bytes with its index/g), ([, size]) => Number(size));
    const gigabytes = (100 * 86_400 * bytes.reduce((sum, size) => sum + size, 0)) / 1e9;

    expect(page).toContain(`\`outcomeRetentionMs\` (${hours} h)`);
    expect(bytes).toHaveLength(2);
    expect(page).toContain(`${gigabytes.toFixed(1)} GB in a day`);
  });
});
