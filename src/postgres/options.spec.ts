import { expectTypeOf, it } from 'vitest';
import type { z } from 'zod';
import type { PostgresSettings, ResolvedPostgresSettings, postgresSettingsSchema } from './options.js';

// The compiler checks these two: they can fail only in a type check of the project.
it('the settings of PostgreSQL are documented as in the schema', () => {
  expectTypeOf<PostgresSettings>().toEqualTypeOf<Readonly<z.input<typeof postgresSettingsSchema>>>();
});

it('the settings of PostgreSQL, with their defaults, are what the schema makes', () => {
  expectTypeOf<ResolvedPostgresSettings>().toEqualTypeOf<Readonly<z.output<typeof postgresSettingsSchema>>>();
});
