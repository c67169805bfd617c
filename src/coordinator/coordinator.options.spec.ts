import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, expectTypeOf, it } from 'vitest';
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

  it('have the defaults of the coordinator that the schema fills in, or words for one that depends on others', () => {
    const documented = documentedDefaults('coordinator.options.ts', 'CoordinatorOptions');
    const filledIn = mapValues(coordinatorOptionsSchema.parse({}), textOf);
    const derived = Object.keys(coordinatorOptionsSchema.shape).filter((key) => !(key in filledIn));
    const words = Object.fromEntries(derived.map((key) => [key, expect.stringMatching(/^\w+ \w+/)]));
    expect(documented).toEqual({ ...filledIn, ...words });
  });

  it("have the defaults of a participant that the schema fills in, or else the coordinator's", () => {
    const documented = documentedDefaults('participant/participant.options.ts', 'ParticipantOptions');
    const { name: _required, ...filledIn } = participantOptionsSchema.parse({ name: 'p' });
    const optional = Object.keys(participantOptionsSchema.shape).filter((key) => key !== 'name');
    const inherited = Object.fromEntries(optional.map((key) => [key, `the coordinator's \`${key}\``]));
    expect(documented).toEqual({ ...inherited, ...mapValues(filledIn, textOf) });
  });
});

/** The `@default` of every field of an interface that has one, read off the source. */
function documentedDefaults(file: string, interfaceName: string): Record<string, string> {
  const source = readFileSync(join(import.meta.dirname, file), 'utf8');
  const body = source.split(`export interface ${interfaceName} {`)[1]!.split('\n}')[0]!;
  const fields = body.matchAll(/@default (.+)\n\s*\*\/\n\s*readonly (\w+)\?:/g);
  return Object.fromEntries([...fields].map(([, text, field]) => [field!, text!]));
}

/** A value as it is written in the docstrings: thousands are set apart, and a text has quotes. */
function textOf(value: unknown): string {
  if (typeof value === 'number') return value.toLocaleString('en').replaceAll(',', '_');
  return typeof value === 'string' ? `'${value}'` : String(value);
}

function mapValues(from: object, map: (value: unknown) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(from).map(([key, value]) => [key, map(value)]));
}
