import { describe, expect, it } from 'vitest';
import { AppModule } from './app.module.js';
import { readConfiguration } from './configuration.js';

describe('The application', () => {
  it.each(['127.0.0.1', 'localhost', '::1', '0.0.0.0', '::', 'fe80::1%eth0', 'shop.example'])(
    'is made for the host %s',
    (HOST) => {
      const configuration = readConfiguration({ HOST, OPERATOR_TOKENS: 'alice:the-token-of-alice' });

      expect(() => AppModule.forRoot(configuration)).not.toThrow();
    },
  );
});
