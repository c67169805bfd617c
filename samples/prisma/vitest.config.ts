import { defineConfig } from 'vitest/config';
import { shared } from '../../vitest.config.js';

export default defineConfig({
  ...shared,
  test: { ...shared.test, include: ['build/prisma/*.spec.ts'] },
});
