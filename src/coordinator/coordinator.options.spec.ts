import { describe, expectTypeOf, it } from 'vitest';
import type { z } from 'zod';
import { type CoordinatorOptions, coordinatorOptionsSchema } from './coordinator.options.js';
import { type ParticipantOptions, participantOptionsSchema } from './participant/participant.options.js';

describe('the documented options', () => {
  // The compiler checks these two: they can fail only in a type check of the project.
  it('of the coordinator are those of the schema', () => {
    expectTypeOf<CoordinatorOptions>().toEqualTypeOf<Readonly<z.input<typeof coordinatorOptionsSchema>>>();
  });

  it('of a participant are those of the schema', () => {
    expectTypeOf<ParticipantOptions>().toEqualTypeOf<Readonly<z.input<typeof participantOptionsSchema>>>();
  });
});
