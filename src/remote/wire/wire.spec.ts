import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LOG_ID, idOf } from '../../../test/support/identity.js';
import { callSchema } from './calls.js';
import {
  MAX_CALLS,
  MAX_DEPTH,
  MAX_MESSAGE_BYTES,
  MAX_PAYLOAD_BYTES,
  type OutgoingCall,
  type WireAnswer,
  WireError,
  answers,
  decodeMessage,
  encodeAnswer,
  encodeCall,
  encodeMessage,
  inMessages,
  readAnswer,
  sentPayload,
} from './index.js';

const SEED = 20_261_129;
const RUN = { name: 'shop', logId: LOG_ID, epoch: 7, token: 'seventh', durable: true };

const json = fc.jsonValue({ maxDepth: 5 }).map((value): unknown => JSON.parse(JSON.stringify(value)));
const transactionId = fc.nat({ max: 9_999_999 }).map((number) => idOf('shop', 7, number + 1));
const traceparent = fc.constant(`00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`);
const branchId = fc.stringMatching(/^[A-Za-z0-9._:-]{1,64}$/);
const timeLeftMs = fc.integer({ min: 1, max: 86_400_000 });

const branchCall = fc.record(
  {
    method: fc.constantFrom('prepare', 'commit', 'rollback', 'commitOnePhase'),
    transactionId,
    branchId,
    timeLeftMs,
    attempt: fc.nat({ max: 1_000 }),
    traceparent,
    tracestate: fc.stringMatching(/^[\x20-\x7e]{1,512}$/),
    requestId: fc.stringMatching(/^[\x21-\x7e]{1,200}$/),
    payload: json,
  },
  { requiredKeys: ['method', 'transactionId', 'branchId', 'timeLeftMs', 'attempt'] },
);
const otherCall = fc.oneof(
  fc.record({
    method: fc.constant('claim'),
    timeLeftMs,
    answers: fc.array(
      fc.record({
        epoch: fc.integer({ min: 1, max: 1_000 }),
        token: fc.string({ minLength: 1 }),
        isOwn: fc.boolean(),
      }),
      { maxLength: 16 },
    ),
  }),
  fc.record({ method: fc.constant('recover'), timeLeftMs, after: fc.record({ transactionId, branchId }) }),
  fc.record({
    method: fc.constant('forgetBelow'),
    timeLeftMs,
    marks: fc.array(fc.record({ epoch: fc.integer({ min: 1, max: 1_000 }), sequence: fc.nat() })),
  }),
  fc.record({ method: fc.constant('capabilities'), timeLeftMs }),
);

function encoded({ payload, ...call }: Record<string, unknown>): string {
  const sent = sentPayload(payload);
  if (!('text' in sent)) throw new Error(sent.problem);
  return encodeCall({ ...call, payloadText: sent.text } as unknown as OutgoingCall);
}

describe('A message to a participant', () => {
  it('is read as it was written, whatever its calls', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(branchCall, otherCall), { minLength: 1, maxLength: 20 }), (calls) => {
        const text = encodeMessage('stock', RUN, calls.map(encoded));
        expect(decodeMessage(JSON.parse(text))).toEqual({ participant: 'stock', run: RUN, calls });
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it('is refused as a whole where it is garbage, and never throws anything else', () => {
    fc.assert(
      fc.property(fc.anything(), (garbage) => {
        expect(() => decodeMessage(garbage)).toThrow(WireError);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('is refused when its version is another one, with the remedy', () => {
    const message: unknown = JSON.parse(encodeMessage('stock', RUN, [encoded(ROLLBACK)]));
    expect(() => decodeMessage({ ...(message as object), version: 2 })).toThrow(
      expect.objectContaining({
        code: 'DTC_WIRE_VERSION',
        message: expect.stringContaining('Update'),
      }) as Error,
    );
  });

  it('loses only the call that cannot be read', () => {
    const broken = { method: 'commit', transactionId: 'not an id' };
    const text = encodeMessage('stock', RUN, [encoded(ROLLBACK), JSON.stringify(broken), encoded(ROLLBACK)]);
    const { calls } = decodeMessage(JSON.parse(text));
    expect(calls).toEqual([ROLLBACK, { problem: expect.stringContaining('transactionId') }, ROLLBACK]);
  });

  it.each([
    ['requestId', 'a\nb'],
    ['requestId', 'a b'],
    ['requestId', ''],
    ['requestId', 'x'.repeat(201)],
    ['requestId', 7],
    ['requestId', null],
    ['tracestate', 'x'.repeat(513)],
    ['tracestate', 'a=1\r\nHost: evil'],
  ])('leaves out the %s %j, on which nothing depends', (field, value) => {
    const text = encodeMessage('stock', RUN, [JSON.stringify({ ...ROLLBACK, [field]: value })]);
    expect(decodeMessage(JSON.parse(text)).calls).toEqual([ROLLBACK]);
    expect(callSchema.parse({ ...ROLLBACK, [field]: value })).toEqual(ROLLBACK);
  });

  it.each([
    ['an id with a line break', { transactionId: `${idOf('shop', 7, 1)}\n` }],
    ['an id with SQL', { transactionId: "shop'; DROP TABLE stock; --" }],
    ['a long branch id', { branchId: 'b'.repeat(65) }],
    ['a branch id with a slash', { branchId: 'a/b' }],
    ['no time', { timeLeftMs: 0 }],
    ['a time that is a clock', { timeLeftMs: 1_764_000_000_000 }],
    ['a method that is none', { method: 'constructor' }],
    ['a trace with a header in it', { traceparent: '00-x\r\nHost: evil' }],
  ])('has no readable call with %s', (_what, given) => {
    const text = encodeMessage('stock', RUN, [JSON.stringify({ ...ROLLBACK, ...given })]);
    expect(decodeMessage(JSON.parse(text)).calls).toEqual([{ problem: expect.any(String) }]);
  });

  it('takes the calls in order, up to a number and a size, and a large one alone', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: MAX_MESSAGE_BYTES + 10_000 }), { maxLength: 60 }),
        fc.integer({ min: 1, max: 12 }),
        (sizes, most) => {
          const calls = sizes.map((size) => ({ text: 'x'.repeat(size) }));
          const groups = inMessages(calls, most);
          expect(groups.flat()).toEqual(calls);
          for (const group of groups) {
            const bytes = group.reduce((sum, { text }) => sum + text.length + 1, 0);
            expect(group.length).toBeLessThanOrEqual(most);
            expect(group.length === 1 || bytes <= MAX_MESSAGE_BYTES - 1024).toBe(true);
          }
        },
      ),
      { seed: SEED, numRuns: 100 },
    );
  });

  it('has no more calls than a host reads', () => {
    const calls = Array.from({ length: MAX_CALLS + 1 }, () => encoded(ROLLBACK));
    expect(() => decodeMessage(JSON.parse(encodeMessage('stock', RUN, calls)))).toThrow(WireError);
  });
});

const ROLLBACK = {
  method: 'rollback',
  transactionId: idOf('shop', 7, 1),
  branchId: 'stock',
  timeLeftMs: 500,
  attempt: 1,
};

describe('An answer of a participant', () => {
  it.each<WireAnswer>([
    { id: 0, kind: 'vote', vote: 'commit' },
    {
      id: 1,
      kind: 'vote',
      vote: { vote: 'abort', code: 'OUT_OF_STOCK', reason: 'none left', temporary: true },
    },
    { id: 2, kind: 'done' },
    { id: 3, kind: 'heuristic', heuristic: 'rollback', reason: 'an operator did it' },
    { id: 4, kind: 'try-again', reason: 'another process is at work' },
    { id: 5, kind: 'error', code: 'DTC_X', reason: 'failed' },
    { id: 6, kind: 'ask', questions: [{ epoch: 6, token: 'sixth' }] },
    { id: 7, kind: 'branches', branches: [{ transactionId: 'a', branchId: 'b', payload: [1] }], more: false },
    { id: 8, kind: 'capabilities', participant: 'stock', onePhase: true, durable: true },
    {
      id: 9,
      kind: 'capabilities',
      participant: 'stock',
      onePhase: true,
      durable: true,
      host: { version: '1.0.0-rc.1', atWork: 1, calls: 2, errors: 0 },
    },
  ])('is read as it was written: %j', (answer) => {
    const line = encodeAnswer(answer);
    expect(line.endsWith('\n')).toBe(true);
    expect(readAnswer(JSON.parse(line))).toEqual(answer);
  });

  it('is none where it is not of the documented form', () => {
    fc.assert(
      fc.property(fc.anything(), (garbage) => {
        expect(readAnswer(garbage)).toBeUndefined();
      }),
      { seed: SEED, numRuns: 500 },
    );
    for (const vote of ['yes', 'COMMIT', true, 1, null, undefined, {}, { vote: 'commit' }, ['commit']]) {
      expect(readAnswer({ id: 0, kind: 'vote', vote })).toBeUndefined();
    }
    expect(readAnswer({ id: -1, kind: 'done' })).toBeUndefined();
    expect(readAnswer({ kind: 'done' })).toBeUndefined();
    expect(readAnswer({ id: 0, kind: 'heuristic', heuristic: 'perhaps', reason: '' })).toBeUndefined();
  });

  it('counts only for the calls that can get it', () => {
    expect(answers('prepare', { kind: 'vote', vote: 'commit' })).toBe(true);
    expect(answers('prepare', { kind: 'done' })).toBe(false);
    expect(answers('commit', { kind: 'vote', vote: 'commit' })).toBe(false);
    expect(answers('commit', { kind: 'done' })).toBe(true);
    expect(answers('commitOnePhase', { kind: 'vote', vote: 'read-only' })).toBe(false);
    expect(answers('prepare', { kind: 'heuristic', heuristic: 'mixed', reason: '' })).toBe(false);
    expect(answers('recover', { kind: 'try-again', reason: '' })).toBe(true);
  });
});

describe('A payload that goes to another process', () => {
  it('arrives as it was sent', () => {
    fc.assert(
      fc.property(json, (payload) => {
        const sent = sentPayload(payload);
        expect('text' in sent && JSON.parse(sent.text!)).toEqual(payload);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('arrives as it was sent, or is refused with the path of a field, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true }),
        (payload) => {
          const sent = sentPayload(payload);
          if ('path' in sent) expect(sent.path).toMatch(/^payload/);
          else if (sent.text === undefined) expect(payload).toBeUndefined();
          // JSON has one zero, and leaves a property out that is undefined.
          else expect(JSON.parse(sent.text)).toEqual(JSON.parse(JSON.stringify(payload)));
        },
      ),
      { seed: SEED, numRuns: 500 },
    );
  });

  class Money {
    constructor(readonly amount: number) {}
  }
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;

  it.each<[payload: unknown, path: string, problem: string]>([
    [{ items: [{ at: new Date(0) }] }, 'payload.items[0].at', 'a Date'],
    [{ total: new Money(3) }, 'payload.total', 'instance of Money'],
    [{ stock: new Map([['a', 1]]) }, 'payload.stock', 'instance of Map'],
    [{ bytes: Buffer.from('a') }, 'payload.bytes', 'instance of Buffer'],
    [{ amount: NaN }, 'payload.amount', 'NaN'],
    [[1, , 3], 'payload[1]', 'undefined'], // oxlint-disable-line no-sparse-arrays
    [{ cents: 12n }, 'payload.cents', 'bigint'],
    [{ 'unit price': () => 1 }, 'payload["unit price"]', 'function'],
    [{ [Symbol('a')]: 1 }, 'payload', 'symbol'],
    [circle, 'payload.self', 'contains itself'],
    [JSON.parse('['.repeat(MAX_DEPTH + 1) + ']'.repeat(MAX_DEPTH + 1)), 'payload[0]', 'nested'],
    ['x'.repeat(MAX_PAYLOAD_BYTES), 'payload', `at most ${MAX_PAYLOAD_BYTES}`],
  ])('is refused with the path: %o', (payload, path, problem) => {
    const sent = sentPayload(payload);
    expect(sent).toMatchObject({ problem: expect.stringContaining(problem) as unknown });
    expect('path' in sent && sent.path).toContain(path);
  });

  it('is refused when it cannot be read', () => {
    const payload = {
      get secret(): never {
        throw new Error('no');
      },
    };
    expect(sentPayload(payload)).toEqual({ path: 'payload', problem: 'cannot be read' });
  });
});
