import { expectTypeOf, it } from 'vitest';
import type { z } from 'zod';
import type { PostgresSettings, postgresSettingsSchema } from './options.js';

// The compiler checks this: it can fail only in a type check of the project.
it('the settings of PostgreSQL are documented as in the schema', () => {
  expectTypeOf<PostgresSettings>().toEqualTypeOf<Readonly<z.input<typeof postgresSettingsSchema>>>();
});
