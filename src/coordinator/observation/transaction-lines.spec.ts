import { ConsoleLogger, Logger, type LogLevel } from '@nestjs/common';
import { afterEach, describe, expect, it } from 'vitest';
import { NestTransactionLines } from './transaction-lines.js';

describe("lines through Nest's logger", () => {
  afterEach(() => Logger.overrideLogger(false));

  const levels: [logLevels: LogLevel[], enabled: boolean, debugEnabled: boolean][] = [
    [['error', 'warn', 'log', 'debug'], true, true],
    [['error', 'warn', 'log'], true, false],
    [['error', 'warn'], false, false],
    [[], false, false],
  ];
  for (const [logLevels, enabled, debugEnabled] of levels) {
    it(`with the levels [${logLevels.join(', ')}]: ${enabled ? '' : 'no '}lines, ${debugEnabled ? '' : 'no '}steps`, () => {
      const lines = new NestTransactionLines({ steps: true });
      Logger.overrideLogger(new ConsoleLogger({ logLevels }));

      expect([lines.isEnabled(), lines.isDebugEnabled()]).toEqual([enabled, debugEnabled]);
    });
  }

  it('have no steps unless they are requested, since the logger of Nest has debug enabled', () => {
    const lines = new NestTransactionLines();
    Logger.overrideLogger(new ConsoleLogger());

    expect([lines.isEnabled(), lines.isDebugEnabled()]).toEqual([true, false]);
  });

  it('without a logger: no lines, no steps', () => {
    const lines = new NestTransactionLines({ steps: true });
    Logger.overrideLogger(false);

    expect([lines.isEnabled(), lines.isDebugEnabled()]).toEqual([false, false]);
  });
});
