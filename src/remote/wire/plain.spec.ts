import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LOG_ID, idOf, runOf } from '../../../test/support/identity.js';
import { parsedAnswer, readAnswer } from './answers.js';
import { callSchema, envelopeSchema } from './calls.js';
import { encodeCall } from './messages.js';
import { plainAnswer, plainBranchCall, plainEnvelope } from './plain.js';

const SEED = 20_261_130;
const RUNS = { seed: SEED, numRuns: 2_000 };

/**
 * A sound object, of which up to two fields are left out or have any value, often one at the border of what
 * is sound.
 */
function damaged(
  sound: Readonly<Record<string, unknown>>,
  borders: readonly unknown[],
): fc.Arbitrary<unknown> {
  const anyValue = fc.oneof(fc.constantFrom(...borders), fc.jsonValue({ maxDepth: 1 }));
  const keys = [...Object.keys(sound), '__proto__', 'constructor', 'more'];
  const change = fc.tuple(fc.constantFrom(...keys), fc.option(anyValue, { nil: undefined }));
  return fc.array(change, { maxLength: 2 }).map((changes) => {
    const entries = new Map(Object.entries(sound));
    for (const [key, value] of changes) {
      if (value === undefined) entries.delete(key);
      else entries.set(key, value);
    }
    return JSON.parse(
      `{${[...entries].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`,
    ) as unknown;
  });
}

const ID = idOf('shop', 7, 12);
const CALL = {
  method: 'prepare',
  transactionId: ID,
  branchId: 'stock',
  timeLeftMs: 500,
  attempt: 0,
  traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
  tracestate: 'vendor=1',
  requestId: 'r-1',
  payload: { amount: 1 },
};
const BORDERS = [
  'commit',
  'rollback',
  'commitOnePhase',
  'claim',
  'recover',
  'capabilities',
  'Prepare',
  0,
  -0,
  1,
  -1,
  0.5,
  255,
  256,
  86_400_000,
  86_400_001,
  1_000_000_000,
  1_000_000_001,
  1e300,
  `${ID}\n`,
  `${ID}.1`,
  ID.replace('12', '012'),
  ID.toUpperCase(),
  `.${ID}`,
  `${'s'.repeat(64)}${ID}`,
  `s\n.${ID.slice(5)}`,
  ID.slice(4),
  ID.replace('.7.', '..'),
  ID.replace('.7.', '.0.'),
  '',
  '...',
  'b'.repeat(64),
  'b'.repeat(65),
  'a/b',
  'a b',
  'x'.repeat(200),
  'x'.repeat(201),
  'x'.repeat(513),
  'a.b:c_d-e',
  'stock\n',
  `00-${'a'.repeat(32)}`,
  'vote',
  'done',
  'heuristic',
  'try-again',
  'error',
  'commit',
  'read-only',
  'abort',
  'yes',
  null,
  true,
  { vote: 'abort', code: 'NO', reason: 'no' },
  { vote: 'commit' },
  [],
  {},
];

describe('What is read without its schema', () => {
  it('is the call of a branch that the schema reads, and nothing else', () => {
    let plain = 0;
    fc.assert(
      fc.property(damaged(CALL, BORDERS), (value) => {
        const bySchema = callSchema.safeParse(value);
        const read = plainBranchCall(value);
        if (read !== undefined) plain++;
        if (read !== undefined) expect(bySchema).toEqual({ success: true, data: read });
        const isOfBranch = bySchema.success && 'transactionId' in bySchema.data;
        expect(read !== undefined).toBe(isOfBranch);
      }),
      RUNS,
    );
    expect(plain).toBeGreaterThan(100);
  });

  it('is the message that the schema reads, and nothing else', () => {
    const { name, logId, epoch, token, durable } = runOf();
    const run = { name, logId, epoch, token, durable };
    const message = { version: 1, participant: 'stock', run, calls: [CALL] };
    const numbers = [0, 1, 0.5, 36 ** 4 - 1, 36 ** 4];
    const texts = ['', 't'.repeat(200), 't'.repeat(201), 'Shop', 's'.repeat(32), 's'.repeat(33), LOG_ID];
    const runs = damaged({ ...run, isShared: true }, [...numbers, ...texts, `${LOG_ID}0`, true, null]);
    const callsOf = (length: number): unknown[] => Array.from({ length }, () => CALL);
    const sound = {
      version: fc.constant(1),
      participant: fc.constant('stock'),
      calls: fc.constant([CALL]),
    };
    const messages = fc.oneof(
      damaged(message, [...BORDERS, run, callsOf(256), callsOf(257)]),
      fc.record({ ...sound, run: runs }, { noNullPrototype: true }),
    );
    let plain = 0;
    fc.assert(
      fc.property(messages, (value) => {
        const bySchema = envelopeSchema.safeParse(value);
        const read = plainEnvelope(value);
        if (read !== undefined) plain++;
        expect(read).toEqual(bySchema.data);
      }),
      RUNS,
    );
    expect(plain).toBeGreaterThan(100);
  });

  it('is an answer that the schema reads', () => {
    let plain = 0;
    const answers = [
      { id: 0, kind: 'vote', vote: 'commit' },
      { id: 255, kind: 'done' },
    ];
    fc.assert(
      fc.property(fc.oneof(...answers.map((answer) => damaged(answer, BORDERS))), (value) => {
        const read = plainAnswer(value);
        if (read !== undefined) plain++;
        expect(readAnswer(value)).toEqual(parsedAnswer(value));
      }),
      RUNS,
    );
    expect(plain).toBeGreaterThan(100);
  });

  it('is nothing of what is no plain object', () => {
    fc.assert(
      fc.property(fc.anything(), (garbage) => {
        const call = plainBranchCall(garbage);
        if (call !== undefined) expect(callSchema.safeParse(garbage).data).toEqual(call);
        expect(readAnswer(garbage)).toEqual(parsedAnswer(garbage));
      }),
      { seed: SEED, numRuns: 500 },
    );
  });
});

describe('The call of a branch', () => {
  it('is written as JSON.stringify writes it, whatever its texts are', () => {
    fc.assert(
      fc.property(
        fc.record(
          {
            method: fc.constantFrom('prepare', 'commit', 'rollback', 'commitOnePhase'),
            transactionId: fc.string({ unit: 'binary' }),
            branchId: fc.string({ unit: 'binary' }),
            attempt: fc.nat(),
            timeLeftMs: fc.nat(),
            traceparent: fc.option(fc.string(), { nil: undefined }),
            payload: fc.jsonValue(),
          },
          { noNullPrototype: true },
        ),
        ({ payload, ...call }) => {
          const text = encodeCall({ ...call, payloadText: JSON.stringify(payload) });
          const same = JSON.parse(JSON.stringify({ ...call, payload })) as unknown;
          expect(JSON.parse(text)).toEqual(same);
        },
      ),
      RUNS,
    );
  });
});
