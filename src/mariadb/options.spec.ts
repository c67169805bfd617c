import { expectTypeOf, it } from 'vitest';
import type { z } from 'zod';
import type { MariaDbSettings, ResolvedMariaDbSettings, mariaDbSettingsSchema } from './options.js';

// The compiler checks these two: they can fail only in a type check of the project.
it('the settings of MariaDB are documented as in the schema', () => {
  expectTypeOf<MariaDbSettings>().toEqualTypeOf<Readonly<z.input<typeof mariaDbSettingsSchema>>>();
});

it('the settings of MariaDB, with their defaults, are what the schema makes', () => {
  expectTypeOf<ResolvedMariaDbSettings>().toEqualTypeOf<Readonly<z.output<typeof mariaDbSettingsSchema>>>();
});
