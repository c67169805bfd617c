import { describe, expect, it } from 'vitest';
import { type CoordinatorConfiguration, readCoordinatorConfiguration } from './coordinator-configuration.js';

const CALLERS = 'shop:the-token-of-the-shop';

function problemsIn(environment: NodeJS.ProcessEnv): string {
  try {
    readCoordinatorConfiguration(environment);
    return 'none';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('The configuration of the coordinator without a shop', () => {
  it('keeps decisions in a folder by default, and listens on the loopback address', () => {
    const configuration = readCoordinatorConfiguration({});
    expect(configuration).toMatchObject({
      host: '127.0.0.1',
      port: 3_000,
      decisionLog: { kind: 'sqlite', path: 'data/decisions' },
      maxTimeoutMs: 60_000,
    } satisfies Partial<CoordinatorConfiguration>);
  });

  it('takes a log in a database by its URL, and in memory by its name', () => {
    const url = 'postgres://dtc@db/log';
    expect(readCoordinatorConfiguration({ DECISION_LOG_URL: url }).decisionLog).toEqual({
      kind: 'postgres',
      url,
    });
    expect(readCoordinatorConfiguration({ DECISION_LOG: 'memory' }).decisionLog).toEqual({ kind: 'memory' });
  });

  it('has callers and hosts of participants', () => {
    const { callers, participantHosts } = readCoordinatorConfiguration({
      CALLER_TOKENS: CALLERS,
      PARTICIPANT_TOKENS: 'inventory:the-token-of-inventory',
    });
    expect([callers, participantHosts].map((of) => (typeof of === 'function' ? of() : of))).toEqual([
      [{ name: 'shop', token: 'the-token-of-the-shop' }],
      [{ name: 'inventory', token: 'the-token-of-inventory' }],
    ]);
  });

  it('serves REST-AT only where it is asked for: with tokens of callers and participants, or without any', () => {
    expect(readCoordinatorConfiguration({}).restAt).toBeUndefined();
    const { restAt } = readCoordinatorConfiguration({
      REST_AT: 'tokens',
      REST_AT_ORIGINS: 'http://stock:8080, https://*.internal',
      CALLER_TOKENS: CALLERS,
      PARTICIPANT_TOKENS: 'inventory:the-token-of-inventory',
    });
    expect(restAt).toMatchObject({
      allow: ['http://stock:8080', 'https://*.internal'],
      maxTimeoutMs: 60_000,
    });
    const callers = restAt!.callers as () => readonly object[];
    expect(callers()).toEqual([
      { name: 'shop', token: 'the-token-of-the-shop' },
      { name: 'inventory', token: 'the-token-of-inventory' },
    ]);
    expect(callers()).toBe(callers());
    expect(readCoordinatorConfiguration({ REST_AT: 'open', MAX_TIMEOUT_MS: '5' }).restAt).toMatchObject({
      callers: 'anyone',
      maxTimeoutMs: 5,
    });
  });

  it.each([
    ['REST-AT with tokens that no caller has', { REST_AT: 'tokens' }, /REST_AT: asks for tokens/],
    [
      'origins without REST-AT',
      { REST_AT_ORIGINS: 'http://stock' },
      /REST_AT_ORIGINS: has no meaning without/,
    ],
    [
      'a token of two roles',
      { CALLER_TOKENS: CALLERS, PARTICIPANT_TOKENS: CALLERS },
      /have a token in common/,
    ],
    ['a variable that is not known', { CALLER_TOKEN: CALLERS }, /did you mean CALLER_TOKENS/],
    ['an option of the shop', { DECISION_LOG_PATHS: 'x' }, /DECISION_LOG_PATHS is not known/],
    ['an address of others without tokens', { HOST: '0.0.0.0' }, /HOST: can be reached by other machines/],
    ['an impossible time-out', { MAX_TIMEOUT_MS: '0' }, /MAX_TIMEOUT_MS: /],
  ])('refuses %s', (_what, environment, problem) => {
    expect(problemsIn(environment)).toMatch(problem);
    expect(problemsIn(environment)).not.toContain('the-token');
  });
});
