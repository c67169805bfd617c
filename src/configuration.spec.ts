import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readConfiguration } from './configuration.js';
import { resolveCoordinatorOptions } from './coordinator/coordinator.options.js';

describe('The configuration', () => {
  it('is complete without any variable: loopback, port 3000, no faults, and the default coordinator', () => {
    expect(readConfiguration({})).toEqual({
      host: '127.0.0.1',
      port: 3_000,
      logLevel: 'info',
      demo: false,
      access: { readers: 'anyone', operators: [] },
      decisionLog: { kind: 'memory' },
      coordinator: resolveCoordinatorOptions(),
    });
  });

  it('is read from the environment', () => {
    const environment = {
      HOST: '0.0.0.0',
      PORT: '80',
      LOG_LEVEL: 'warn',
      OPERATOR_TOKENS: 'alice:0123456789abcdef',
      DTC_MAX_ATTEMPTS: '7',
    };

    expect(readConfiguration(environment)).toEqual({
      host: '0.0.0.0',
      port: 80,
      logLevel: 'warn',
      demo: false,
      access: { readers: [], operators: [{ name: 'alice', token: '0123456789abcdef' }] },
      decisionLog: { kind: 'memory' },
      coordinator: resolveCoordinatorOptions({ maxAttempts: 7 }),
    });
  });

  it('links transactions to their traces and log lines', () => {
    const TRACE_LINK = 'https://traces.example/trace/{traceId}';
    const LOG_LINK = 'http://logs:3100/?q={transactionId}&r={requestId}';
    expect(readConfiguration({ TRACE_LINK, LOG_LINK }).links).toEqual([
      { label: 'Trace', url: TRACE_LINK },
      { label: 'Log lines', url: LOG_LINK },
    ]);
    expect(readConfiguration({ LOG_LINK }).links).toEqual([{ label: 'Log lines', url: LOG_LINK }]);
    for (const link of [
      'https://traces.example/',
      'https://traces.example/{trace}',
      'javascript:{traceId}',
      'https://{traceId}.example/{name}',
      'https://user:secret@traces.example/{traceId}',
      '/traces/{traceId}',
    ])
      expect(() => readConfiguration({ TRACE_LINK: link })).toThrow(/TRACE_LINK: must be an address/);
  });

  it('allows a demonstration on a loopback address alone, and no second operator of its name', () => {
    const OPERATOR_TOKENS = 'demo-operator:0123456789abcdef';

    expect(readConfiguration({ DEMO: 'true', HOST: 'localhost' }).demo).toBe(true);
    expect(() =>
      readConfiguration({ DEMO: 'true', HOST: '0.0.0.0', OPERATOR_TOKENS: 'alice:0123456789abcdef' }),
    ).toThrow(/DEMO: every caller that reaches 0\.0\.0\.0 could .* use it on a loopback address/);
    expect(() => readConfiguration({ DEMO: 'true', OPERATOR_TOKENS })).toThrow(
      /DEMO: has an operator of the name demo-operator/,
    );
    expect(readConfiguration({ OPERATOR_TOKENS }).access.operators).toHaveLength(1);
  });

  it('ignores the links that Kubernetes makes to Services, and names them', () => {
    const links = {
      DTC_SERVICE_HOST: '10.96.0.7',
      DTC_SERVICE_PORT: '3000',
      DTC_PORT: 'tcp://10.96.0.7:3000',
      DTC_PORT_3000_TCP: 'tcp://10.96.0.7:3000',
      DTC_PORT_3000_TCP_PROTO: 'tcp',
      DTC_PORT_3000_TCP_PORT: '3000',
      DTC_PORT_3000_TCP_ADDR: '10.96.0.7',
      DECISION_LOG_PORT: 'tcp://10.96.0.8:80',
      OPERATOR_TOKENS_SERVICE_HOST: '10.96.0.9',
    };

    expect(readConfiguration({ ...links, PORT: '80', ELSE_PORT: 'tcp://10.96.0.1:1' })).toEqual({
      ...readConfiguration({ PORT: '80' }),
      serviceLinks: Object.keys(links),
    });
  });

  it.each([
    ['DTC_PORT', '3000'],
    ['DTC_SERVICE_PORT', 'http'],
    ['DTC_TIMEOUT', 'tcp://10.96.0.7:3000'],
    ['DECISION_LOG_HOST', '10.96.0.7'],
  ])('is refused with %s=%s, which is not such a link', (variable, value) => {
    expect(() => readConfiguration({ [variable]: value })).toThrow(`${variable} is not known`);
  });

  it('is refused with a link in place of an option', () => {
    expect(() => readConfiguration({ DTC_NAME: 'tcp://10.96.0.7:3000' })).toThrow('DTC_NAME: ');
  });

  it.each([
    ['PORT', '65536'],
    ['PORT', 'http'],
    ['HOST', ''],
    ['LOG_LEVEL', 'loud'],
    ['DEMO', 'yes'],
    ['DTC_MAX_ATTEMPTS', '0'],
    ['ORDER_DATABASE_URL', 'mysql://localhost/orders'],
    ['DECISION_LOG', 'paper'],
    ['DECISION_LOG_PATH', ''],
    ['READER_TOKENS', ''],
    ['OPERATOR_TOKENS', 'alice'],
    ['MEMBER_TOKENS', 'short'],
    ['DTC_MEMBER_ADDRESS', '10.0.0.7:3000'],
    ['DTC_MEMBER_ADDRESS', 'ftp://10.0.0.7/'],
    ['DTC_MEMBER_ADDRESS', 'http://user:secret@10.0.0.7'],
    ['DTC_MEMBER_ADDRESS', 'http://10.0.0.7/?a=b'],
  ])('is refused with %s=%s', (variable, value) => {
    expect(() => readConfiguration({ [variable]: value })).toThrow(`${variable}: `);
  });

  it('is refused with the log of an earlier version, with the remedy', () => {
    expect(() => readConfiguration({ DECISION_LOG: 'lmdb' })).toThrow(
      /DECISION_LOG: lmdb is no longer supported: decisions are kept with sqlite, in a new folder/,
    );
  });

  it('has the tokens of members in their order, none of which a reader or an operator has', () => {
    const [first, second] = ['the-first-token-of-members', 'the-second-token-of-members'];
    const MEMBER_TOKENS = `${first},${second}`;
    expect(readConfiguration({ MEMBER_TOKENS }).memberTokens).toEqual([first, second]);
    expect(readConfiguration({}).memberTokens).toBeUndefined();
    for (const variable of ['READER_TOKENS', 'OPERATOR_TOKENS']) {
      const attempt = (): unknown => readConfiguration({ MEMBER_TOKENS, [variable]: `alice:${second}` });
      expect(attempt).toThrow(/MEMBER_TOKENS: has the token of a reader or an operator/);
      expect(attempt).not.toThrow(second);
    }
  });

  const databases = {
    ORDER_DATABASE_URL: 'postgres://localhost/orders',
    INVENTORY_DATABASE_URL: 'postgres://localhost/inventory',
    PAYMENT_DATABASE_URL: 'postgresql://localhost/payments',
  };

  it('has a durable log with databases by default', () => {
    expect(readConfiguration(databases)).toMatchObject({
      databases: {
        order: 'postgres://localhost/orders',
        inventory: 'postgres://localhost/inventory',
        payment: 'postgresql://localhost/payments',
      },
      decisionLog: { kind: 'sqlite', path: 'data/decisions' },
    });
    expect(readConfiguration({ ...databases, DECISION_LOG: 'memory' }).decisionLog).toEqual({
      kind: 'memory',
    });
  });

  it('has a durable log without databases when its folder is given', () => {
    expect(readConfiguration({ DECISION_LOG_PATH: '/tmp/log' }).decisionLog).toEqual({
      kind: 'sqlite',
      path: '/tmp/log',
    });
  });

  it('has a log in a database when it is told which', () => {
    const url = 'postgres://clerk:secret@localhost/decisions';
    const choice = { kind: 'postgres', url };
    expect(readConfiguration({ DECISION_LOG_URL: url }).decisionLog).toEqual(choice);
    expect(
      readConfiguration({ ...databases, DECISION_LOG: 'postgres', DECISION_LOG_URL: url }).decisionLog,
    ).toEqual(choice);
  });

  it.each([
    [{ DECISION_LOG: 'postgres' }, /DECISION_LOG_URL: is missing/],
    [{ DECISION_LOG: 'postgres', DECISION_LOG_PATH: '/tmp/log' }, /DECISION_LOG_PATH: has no meaning/],
    [
      { DECISION_LOG: 'sqlite', DECISION_LOG_URL: 'postgres://me:secret@localhost/x' },
      /DECISION_LOG_URL: (?!.*secret)/,
    ],
    [{ DECISION_LOG_URL: 'mysql://me:secret@localhost/x' }, /DECISION_LOG_URL: must be a URL(?!.*secret)/],
  ])('is refused with %j: it does not go together', (environment, message) => {
    expect(() => readConfiguration(environment)).toThrow(message);
  });

  it('is refused with a path for a log in memory', () => {
    expect(() => readConfiguration({ DECISION_LOG: 'memory', DECISION_LOG_PATH: '/tmp/log' })).toThrow(
      'DECISION_LOG_PATH: ',
    );
  });

  it('is refused with one database of three, and names the missing ones, but no password', () => {
    expect(() => readConfiguration({ INVENTORY_DATABASE_URL: 'postgres://me:secret@localhost/x' })).toThrow(
      /: ORDER_DATABASE_URL and PAYMENT_DATABASE_URL: is missing; (?!.*secret)/,
    );
  });

  it.each([
    ['OPERATOR_TOKEN', 'OPERATOR_TOKENS'],
    ['MEMBER_TOKEN', 'MEMBER_TOKENS'],
    ['READER_TOKENS_FIEL', 'READER_TOKENS_FILE'],
    ['DECISION_LOG_PTAH', 'DECISION_LOG_PATH'],
    ['DTC_TIMEOUT', 'DTC_TIMEOUT_MS'],
    ['DTC_TIMEOUT_SECONDS', 'DTC_TIMEOUT_MS'],
    ['DTC_PORT', 'PORT'],
    ['DTC_READER_TOKENS', 'READER_TOKENS'],
    ['DTC_DECISION_LOG', 'DECISION_LOG'],
  ])('is refused with %s, and suggests %s', (variable, meant) => {
    expect(() => readConfiguration({ [variable]: 'x' })).toThrow(
      `${variable} is not known (did you mean ${meant}?)`,
    );
  });

  it('is refused with every problem at once, from all schemas and rules', () => {
    const attempt = (): unknown => readConfiguration({ PORT: 'http', DTC_COLOUR: 'x', DTC_TIMEOUT_MS: '0' });
    expect(attempt).toThrow(/PORT: .*DTC_COLOUR is not known.*DTC_TIMEOUT_MS: /);

    const others = { HOST: '::', ORDER_DATABASE_URL: 'postgres://x/y', DTC_MAX_ATTEMPTS: '0' };
    expect(() => readConfiguration(others)).toThrow(/DTC_MAX_ATTEMPTS: .*HOST: .*PAYMENT_DATABASE_URL: /);
  });

  it('ignores names that may belong to another program', () => {
    const others = { PORTS: '1', HOSTNAME: 'x', LOGLEVEL: 'x', ORDERS_DATABASE_URL: 'x', DTCX: '1' };

    expect(readConfiguration(others)).toEqual(readConfiguration({}));
  });

  describe('of access', () => {
    const [aliceToken, bobToken] = ['alice-0123456789', 'bob-456789:abcdef'];
    const alice = { name: 'alice', token: aliceToken };
    const bob = { name: 'bob', token: bobToken };

    it.each(['127.0.0.1', '127.8.9.1', '::1', '0:0:0:0:0:0:0:1', 'localhost', 'LocalHost'])(
      'lets every caller read on %s when no reader has a token, and no caller act',
      (HOST) => {
        expect(readConfiguration({ HOST }).access).toEqual({ readers: 'anyone', operators: [] });
      },
    );

    it.each([
      '0.0.0.0',
      '126.0.0.1',
      '::',
      '10.0.0.1',
      '128.0.0.1',
      'example.org',
      'localhost.example.org',
      '127.0.0.1.example.org',
    ])('is refused on %s without any token', (HOST) => {
      expect(() => readConfiguration({ HOST })).toThrow(/: HOST: .*OPERATOR_TOKENS or READER_TOKENS/);
    });

    it('requires a token for reading as soon as there is a reader, or the address is not loopback', () => {
      const READER_TOKENS = `bob:${bobToken}`;
      const OPERATOR_TOKENS = `alice:${aliceToken}`;

      expect(readConfiguration({ READER_TOKENS }).access).toEqual({ readers: [bob], operators: [] });
      expect(readConfiguration({ OPERATOR_TOKENS }).access).toEqual({
        readers: 'anyone',
        operators: [alice],
      });
      expect(readConfiguration({ HOST: '::', READER_TOKENS }).access).toEqual({
        readers: [bob],
        operators: [],
      });
      expect(readConfiguration({ HOST: '::', OPERATOR_TOKENS }).access).toEqual({
        readers: [],
        operators: [alice],
      });
    });

    it.each([
      ['name', `alice:${bobToken}`],
      ['token', `carol:${aliceToken}`],
    ])(
      'is refused when a reader and an operator have a %s in common, without showing it',
      (field, reader) => {
        const attempt = (): unknown =>
          readConfiguration({ OPERATOR_TOKENS: `alice:${aliceToken}`, READER_TOKENS: reader });

        expect(attempt).toThrow(`READER_TOKENS and OPERATOR_TOKENS: have a ${field} in common`);
        expect(attempt).not.toThrow(/alice|carol|0123/);
      },
    );
  });

  it('accepts every secret from a file as well', () => {
    const folder = mkdtempSync(join(tmpdir(), 'configuration-'));
    try {
      const file = (name: string, text: string): string => {
        writeFileSync(join(folder, name), text);
        return join(folder, name);
      };
      const environment = {
        HOST: '0.0.0.0',
        READER_TOKENS_FILE: file('readers', '# those on call\n\nbob:bob-0123456789abc\r\n'),
        OPERATOR_TOKENS_FILE: file('operators', 'alice:alice-0123456789\ncarol:carol-0123456789\n'),
        ORDER_DATABASE_URL_FILE: file('order', 'postgres://localhost/orders\n'),
        INVENTORY_DATABASE_URL_FILE: file('inventory', 'postgres://localhost/inventory'),
        PAYMENT_DATABASE_URL_FILE: file('payment', 'postgres://localhost/payments\n'),
      };

      expect(readConfiguration(environment)).toMatchObject({
        access: {
          readers: [{ name: 'bob', token: 'bob-0123456789abc' }],
          operators: [
            { name: 'alice', token: 'alice-0123456789' },
            { name: 'carol', token: 'carol-0123456789' },
          ],
        },
        databases: {
          order: 'postgres://localhost/orders',
          inventory: 'postgres://localhost/inventory',
          payment: 'postgres://localhost/payments',
        },
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
