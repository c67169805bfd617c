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
  ])('is refused with %s=%s', (variable, value) => {
    expect(() => readConfiguration({ [variable]: value })).toThrow(`${variable}: `);
  });
});
