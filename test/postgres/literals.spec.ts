import { Client, defaults } from 'pg';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { literalOf } from '../../src/postgres/connection/literals.js';
import { PostgresServer } from '../support/postgres/server.js';

const SEED = 20_261;
const RUNS = 300;

let server: PostgresServer;
let client: Client;

beforeAll(async () => {
  server = await PostgresServer.start();
  client = new Client(server.database('postgres').url);
  await client.connect();
});

afterAll(async () => {
  await client.end();
  await server.stop();
});

/** What PostgreSQL makes of a value of a type: its text, or the code of its error. */
async function made(sql: string, values?: unknown[]): Promise<string | null> {
  try {
    const { rows } = await client.query<{ made: string | null }>({ text: sql, ...(values && { values }) });
    return rows[0]!.made;
  } catch (error) {
    return `error ${(error as { code?: string }).code}`;
  }
}

/** What PostgreSQL reads a value as: as a literal, and sent beside the text. */
async function read(type: string, value: unknown, literal: string): Promise<(string | null)[]> {
  await client.query(`PREPARE reads AS SELECT $1::${type}::text AS made`);
  try {
    return [
      await made(`EXECUTE reads (${literal})`),
      await made(`SELECT $1::${type}::text AS made`, [value]),
    ];
  } finally {
    await client.query('DEALLOCATE reads');
  }
}

/** Those that are hard to write, beside all others. */
const texts = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom(`'`, '"', '\\', '{', '}', ',', ' ', 'NULL', '$1', '--', '/*', ';', '\n', 'é'),
  }),
);
const numbers = fc.oneof(fc.integer(), fc.double(), fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }));
const dates = fc.date({ min: new Date('0001-02-01'), max: new Date('9999-11-30'), noInvalidDate: true });
const arrays = (of: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.array(fc.option(of), { maxLength: 5 });

describe('a value as a literal', () => {
  it.each<[string, fc.Arbitrary<unknown>]>([
    ['text', texts],
    ['text', fc.oneof(numbers, fc.boolean(), dates)],
    ['int', numbers],
    ['bigint', numbers],
    ['numeric', numbers],
    ['double precision', numbers],
    ['boolean', fc.oneof(fc.boolean(), fc.constantFrom('t', 'no', 1, 0, 'maybe'))],
    ['text[]', arrays(texts)],
    ['text[]', fc.array(fc.array(texts, { minLength: 2, maxLength: 2 }), { maxLength: 3 })],
    ['int[]', arrays(fc.oneof(fc.integer(), fc.boolean()))],
    ['timestamptz[]', arrays(dates)],
    ['jsonb', fc.object()],
    ['json[]', arrays(fc.object())],
    ['timestamptz', dates],
    ['timestamp', dates],
    ['date', dates],
    ['bytea', texts],
  ])('is read as %s just as the value is that is sent beside the text', async (type, values) => {
    let isRead = 0;
    await fc.assert(
      fc.asyncProperty(values, async (value) => {
        const literal = literalOf(value);
        if (literal === undefined) return;
        const [asLiteral, asValue] = await read(type, value, literal);
        expect(asLiteral).toBe(asValue);
        isRead++;
      }),
      { seed: SEED, numRuns: RUNS },
    );
    expect(isRead).toBeGreaterThan(RUNS / 2);
  });

  it('is NULL where there is none', () => {
    expect([literalOf(null), literalOf(undefined)]).toEqual(['NULL', 'NULL']);
  });

  it.each<[string, unknown]>([
    ['bytes', Buffer.from('a')],
    ['a view of bytes', new Uint8Array([1])],
    ['bytes in an array', [Buffer.from('a')]],
    ['what converts itself', { toPostgres: () => 'a' }],
    ['what converts itself, in an array', [[{ toPostgres: () => 'a' }]]],
    ['what no text can hold', 'a\0b'],
    ['what no text can hold, in an array', ['a\0b']],
    ['a date before the year 1', new Date(-1e15)],
    ['a date that is none', new Date(Number.NaN)],
    ['a function', () => 'a'],
    ['a symbol', Symbol('a')],
  ])('is not made of %s', (_what, value) => {
    expect(literalOf(value)).toBeUndefined();
  });

  it('throws the error of JSON for a value that it cannot represent', () => {
    const circular: { self?: unknown } = {};
    circular.self = circular;
    expect(() => literalOf(circular)).toThrow('circular');
  });
});

describe('a date', () => {
  afterEach(() => {
    defaults.parseInputDatesAsUTC = false;
  });

  it('is sent by pg where the application has set how', () => {
    defaults.parseInputDatesAsUTC = true;
    expect(literalOf(new Date())).toBeUndefined();
  });
});
