import { describe, expect, it } from 'vitest';
import { QuietLogger } from './quiet-logger.js';

const LEVELS = ['fatal', 'error', 'warn', 'log', 'debug', 'verbose'] as const;

function recorded(): { lines: unknown[][]; logger: QuietLogger } {
  const lines: unknown[][] = [];
  const target = Object.fromEntries(
    LEVELS.map((level) => [level, (...values: unknown[]) => void lines.push([level, ...values])]),
  ) as unknown as ConstructorParameters<typeof QuietLogger>[0];
  return { lines, logger: new QuietLogger(target, ['Registry']) };
}

describe('QuietLogger', () => {
  it.each(['InstanceLoader', 'RouterExplorer', 'Registry'])('logs lines of %s at debug', (context) => {
    const { lines, logger } = recorded();

    logger.log('a step', context);

    expect(lines).toEqual([['debug', 'a step', context]]);
  });

  it.each(LEVELS)('passes on lines of others at %s, with all their fields', (level) => {
    const { lines, logger } = recorded();

    logger[level]({ id: 1 }, 'text', 'Application');

    expect(lines).toEqual([[level, { id: 1 }, 'text', 'Application']]);
  });

  it('passes on a warning of a quiet context unchanged', () => {
    const { lines, logger } = recorded();

    logger.warn('look', 'InstanceLoader');

    expect(lines).toEqual([['warn', 'look', 'InstanceLoader']]);
  });
});
