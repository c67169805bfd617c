import { describe, expectTypeOf, it } from 'vitest';
import type { z } from 'zod';
import { type CoordinatorOptions, coordinatorOptionsSchema } from './coordinator.options.js';
import { type ParticipantOptions, participantOptionsSchema } from './participant/participant.options.js';

describe('the options as they are documented', () => {
  // The compiler checks these two: they can fail only in a type check of the project.
  it('are those of the coordinator that the schema takes', () => {
    expectTypeOf<CoordinatorOptions>().toEqualTypeOf<Readonly<z.input<typeof coordinatorOptionsSchema>>>();
  });

  it('are those of a participant that the schema takes', () => {
    expectTypeOf<ParticipantOptions>().toEqualTypeOf<Readonly<z.input<typeof participantOptionsSchema>>>();
  });
});
