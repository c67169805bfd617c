import { describe, expectTypeOf, it } from 'vitest';
import type { z } from 'zod';
import type {
  CoordinatorOptions,
  ResolvedCoordinatorOptions,
  coordinatorOptionsSchema,
} from './coordinator.options.js';
import { type ParticipantOptions, participantOptionsSchema } from './participant/participant.options.js';

/** An intersection as one type, to compare it. */
type Plain<T> = { [K in keyof T]: T[K] };

describe('the documented options', () => {
  // The compiler checks these three: they can fail only in a type check of the project.
  it('of the coordinator are those of the schema', () => {
    expectTypeOf<CoordinatorOptions>().toEqualTypeOf<Readonly<z.input<typeof coordinatorOptionsSchema>>>();
  });

  it('of the coordinator, with their defaults, are what the schema makes', () => {
    expectTypeOf<Readonly<z.output<typeof coordinatorOptionsSchema>>>().toEqualTypeOf<
      Plain<ResolvedCoordinatorOptions>
    >();
  });

  it('of a participant are those of the schema', () => {
    expectTypeOf<ParticipantOptions>().toEqualTypeOf<Readonly<z.input<typeof participantOptionsSchema>>>();
  });
});
