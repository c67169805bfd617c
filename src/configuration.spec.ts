import { describe, expect, it } from 'vitest';
import { readConfiguration } from './configuration.js';
import { resolveCoordinatorOptions } from './coordinator/coordinator.options.js';

describe('The configuration', () => {
  it('is complete without any variable: loopback, port 3000, no faults, and the coordinator as it comes', () => {
    expect(readConfiguration({})).toEqual({
      host: '127.0.0.1',
      port: 3_000,
      logLevel: 'info',
      demo: false,
      decisionLog: { kind: 'memory' },
      coordinator: resolveCoordinatorOptions(),
    });
  });

  it('is read from the environment', () => {
    const environment = {
      HOST: '0.0.0.0',
      PORT: '80',
      LOG_LEVEL: 'warn',
      DEMO: 'true',
      DTC_MAX_ATTEMPTS: '7',
    };

    expect(readConfiguration(environment)).toEqual({
      host: '0.0.0.0',
      port: 80,
      logLevel: 'warn',
      demo: true,
      decisionLog: { kind: 'memory' },
      coordinator: resolveCoordinatorOptions({ maxAttempts: 7 }),
    });
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
  ])('is refused with %s=%s', (variable, value) => {
    expect(() => readConfiguration({ [variable]: value })).toThrow(`${variable}: `);
  });

  const databases = {
    ORDER_DATABASE_URL: 'postgres://localhost/orders',
    INVENTORY_DATABASE_URL: 'postgres://localhost/inventory',
    PAYMENT_DATABASE_URL: 'postgresql://localhost/payments',
  };

  it('has a durable log with databases, unless it is told otherwise', () => {
    expect(readConfiguration(databases)).toMatchObject({
      databases: {
        order: 'postgres://localhost/orders',
        inventory: 'postgres://localhost/inventory',
        payment: 'postgresql://localhost/payments',
      },
      decisionLog: { kind: 'lmdb', path: 'data/decisions' },
    });
    expect(readConfiguration({ ...databases, DECISION_LOG: 'memory' }).decisionLog).toEqual({
      kind: 'memory',
    });
  });

  it('has a durable log without databases when it is told where', () => {
    expect(readConfiguration({ DECISION_LOG_PATH: '/tmp/log' }).decisionLog).toEqual({
      kind: 'lmdb',
      path: '/tmp/log',
    });
  });

  it('is refused with a path for a log in memory', () => {
    expect(() => readConfiguration({ DECISION_LOG: 'memory', DECISION_LOG_PATH: '/tmp/log' })).toThrow(
      'DECISION_LOG_PATH: ',
    );
  });

  it('is refused with one database of three, and names those that are missing, but no password', () => {
    expect(() => readConfiguration({ INVENTORY_DATABASE_URL: 'postgres://me:secret@localhost/x' })).toThrow(
      /: ORDER_DATABASE_URL and PAYMENT_DATABASE_URL: is missing; (?!.*secret)/,
    );
  });
});
