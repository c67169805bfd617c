import { expectTypeOf, it } from 'vitest';
import type { z } from 'zod';
import type { PostgresSettings, postgresSettingsSchema } from './options.js';

// The compiler checks it: it can fail only in a type check of the project.
it('the settings of PostgreSQL are documented as the schema takes them', () => {
  expectTypeOf<PostgresSettings>().toEqualTypeOf<Readonly<z.input<typeof postgresSettingsSchema>>>();
});
