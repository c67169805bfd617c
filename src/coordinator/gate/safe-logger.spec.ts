import { Logger } from '@nestjs/common';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SafeLogger } from './safe-logger.js';

const LEVELS = ['log', 'warn', 'error', 'debug'] as const;

describe('The logger of code that must go on', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    Logger.overrideLogger(false);
  });

  it.each(LEVELS)('passes lines of %s on, with what belongs to them and its context', (level) => {
    const write = vi.fn<(...line: unknown[]) => void>();
    Logger.overrideLogger({ log() {}, warn() {}, error() {}, [level]: write });
    new SafeLogger('Context')[level]('a line', 'more');
    expect(write).toHaveBeenCalledExactlyOnceWith('a line', 'more', 'Context');
  });

  it.each(LEVELS)('throws nothing where the logger of the application throws at %s', (level) => {
    const fail = () => {
      throw new Error('no room\nfor lines');
    };
    Logger.overrideLogger({ log: fail, warn: fail, error: fail, debug: fail });
    const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const logger = new SafeLogger('Context');
    logger[level]('a line');
    logger[level]('a second line');
    expect(warning).toHaveBeenCalledOnce();
    expect(warning.mock.calls[0]![0]).toMatch(
      /^The logger of the application has failed: no room.*for lines$/,
    );
  });
});
