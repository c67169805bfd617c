import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ALARM_NAMES } from '../../../../src/coordinator/observation/alarms/alarm.js';
import { sectionsOf } from '../../../runbook-sections.js';

const sections = sectionsOf(readFileSync(join(import.meta.dirname, '../../../../docs/runbook.md'), 'utf8'));

describe('the runbook in the dashboard', () => {
  it('has a paragraph for each alarm', () => {
    expect(ALARM_NAMES.filter((name) => sections[name.toLowerCase()]?.title !== name)).toEqual([]);
  });

  it('links within the dashboard only', () => {
    const links = Object.values(sections).flatMap(({ html }) => Array.from(html.matchAll(/href="([^"]*)"/g)));
    const targets = links.map(([, target]) => target!);
    expect(targets.length).toBeGreaterThan(5);
    const isKnown = (target: string): boolean =>
      target.startsWith('#/runbook/') && target.slice('#/runbook/'.length) in sections;
    expect(targets.filter((target) => !isKnown(target))).toEqual([]);
  });
});
