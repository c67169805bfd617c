import { expectTypeOf, it } from 'vitest';
import type { z } from 'zod';
import type { MariaDbSettings, mariaDbSettingsSchema } from './options.js';

// The compiler checks this: it can fail only in a type check of the project.
it('the settings of MariaDB are documented as in the schema', () => {
  expectTypeOf<MariaDbSettings>().toEqualTypeOf<Readonly<z.input<typeof mariaDbSettingsSchema>>>();
});
