import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { type Logger, type LoggerOptions, destination, multistream, pino } from 'pino';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ScriptedParticipant, createTestCoordinator, settled } from '../coordinator/testing/index.js';
import type { Attributes } from '../coordinator/participant/attributes.js';
import { branch } from '../coordinator/participant/branch-request.js';
import { type PinoDestination, PinoOutput } from './pino-output.js';
import { PinoTransactionLines } from './pino-transaction-lines.js';
import { FinishedTransaction, lineOf } from '../coordinator/observation/transaction-lines.js';

/** Every write of a logger, as it comes. */
class Writes {
  readonly texts: string[] = [];
  write(text: string): void {
    this.texts.push(text);
  }

  get objects(): Record<string, unknown>[] {
    const lines = this.texts.join('').split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

const PAYLOAD = 'the secret payload';
/** Always the same, so that two lines can be compared. */
const timestamp = (): string => ',"time":1893456000000';

function fail(message: string): never {
  throw new Error(message);
}

/** Transactions of every kind of end, with their records. */
async function records(): Promise<FinishedTransaction[]> {
  const { transactions, runtime, clock } = createTestCoordinator({
    participants: {
      yes: new ScriptedParticipant(),
      no: new ScriptedParticipant({ prepare: 'no' }),
      odd: new ScriptedParticipant({ commit: { heuristic: 'mixed' } }),
    },
  });
  const committing = transactions.begin({ name: 'a "quoted" name, ünïcödé \u2028 and \n more' });
  committing.enlist(branch('yes', PAYLOAD));
  committing.enlist(branch('yes', PAYLOAD));
  await clock.advance(12.5);
  const outcomes = [
    await committing.commit(),
    await transactions.run({ branches: [] }),
    await transactions.run({ name: 'refused', branches: [branch('no', PAYLOAD), branch('yes', PAYLOAD)] }),
    await transactions.run({ name: 'odd', branches: [branch('odd', PAYLOAD), branch('yes', PAYLOAD)] }),
  ];
  await clock.advance(10);
  return outcomes.map(({ transactionId }) => {
    const record = runtime.registry.find(transactionId)!;
    expect(record.endedAt).toBeGreaterThan(0);
    return new FinishedTransaction(record);
  });
}

interface Sale {
  readonly name?: string;
  readonly branches?: readonly string[];
  readonly tookMs?: number;
  readonly attributes?: Attributes;
  /** One character that its trace and its span are made of. */
  readonly traced?: string;
}

/**
 * Transactions that are alike, apart from what is given here. The participant "moody" refuses the second one
 * it is asked for.
 */
async function sales(...all: readonly Sale[]): Promise<FinishedTransaction[]> {
  const { transactions, runtime, clock } = createTestCoordinator({
    participants: {
      yes: new ScriptedParticipant(),
      other: new ScriptedParticipant(),
      moody: new ScriptedParticipant({ prepare: ['yes', 'no'] }),
    },
  });
  const ended: FinishedTransaction[] = [];
  for (const { name = 'sale', branches = ['yes', 'other'], tookMs = 0, attributes = {}, traced } of all) {
    const transaction = transactions.begin({ name, attributes });
    if (traced !== undefined) {
      const traceparent = `00-${traced.repeat(32)}-${traced.repeat(16)}-01`;
      runtime.registry.find(transaction.id)!.needExtras().caller = { traceparent };
    }
    for (const participant of branches) transaction.enlist(branch(participant, PAYLOAD));
    await clock.advance(tookMs);
    const { transactionId } = await transaction.commit();
    ended.push(new FinishedTransaction(runtime.registry.find(transactionId)!));
  }
  return ended;
}

const ALIKE: readonly Sale[] = [{ tookMs: 0 }, { tookMs: 5 }, { tookMs: 12.345 }, { tookMs: 1_000 }];
/** Two of a trace, each of its own, and one of none. */
const TRACED: readonly Sale[] = [{ traced: 'a' }, { traced: 'b' }, {}, { traced: 'c' }];

/** The line that the logger itself writes for the same transaction. */
function writtenByPino(logger: Logger, record: FinishedTransaction): void {
  const line = lineOf(record);
  logger.info({ context: 'Transaction', ...line }, `transaction ${line.outcome}`);
}

const plain: [description: string, options: LoggerOptions][] = [
  ['with its defaults', {}],
  ['without base', { base: null }],
  ['with a name and a child', { name: 'shop', base: { region: 'eu' } }],
  ['with another message key', { messageKey: 'message' }],
  ['with level labels', { formatters: { level: (label) => ({ level: label }) } }],
  ['with ISO timestamps', { timestamp: () => ',"time":"2030-01-01T00:00:00.000Z"' }],
  ['without timestamps', { timestamp: false }],
  ['with carriage returns', { crlf: true }],
  ['with serializers for other keys', { serializers: { req: () => 'request' } }],
];

const changing: [description: string, options: LoggerOptions][] = [
  ['with a mixin', { mixin: () => ({ requestId: 'r-1' }) }],
  ['with a redacted field', { redact: ['name'] }],
  ['with a redacted id', { redact: ['transactionId'] }],
  ['with its fields twice', { formatters: { log: (line) => ({ ...line, again: line }) } }],
  ['with a redacted list', { redact: { paths: ['branches[*]'], censor: '***' } }],
  [
    'with a serializer for a field of the line',
    { serializers: { outcome: (word: string) => word.toUpperCase() } },
  ],
  ['with a formatter of lines', { formatters: { log: (line) => ({ ...line, extra: true }) } }],
  ['with a nested key', { nestedKey: 'payload' }],
  ['with a prefix for messages', { msgPrefix: '[dtc] ' }],
  [
    'with a hook around its methods',
    {
      hooks: {
        logMethod(args, method) {
          method.apply(this, [{ ...(args[0] as object), hooked: true }, args[1]]);
        },
      },
    },
  ],
  [
    'with a hook before its stream',
    { hooks: { streamWrite: (line) => line.replace('transaction ', 'tx ') } },
  ],
];

/** Lines that are written many at once, through a logger with these options. */
function batching(
  destination: PinoDestination,
  options: LoggerOptions = {},
  linesPerWrite = 64,
): { lines: PinoTransactionLines; logger: Logger } {
  const output = new PinoOutput(destination);
  const logger = pino(options, output).child({ part: 'dtc' });
  return { lines: new PinoTransactionLines(logger, { linesPerWrite, destination: output }), logger };
}

describe('PinoTransactionLines', () => {
  for (const [description, options] of [...plain, ...changing]) {
    it(`writes the same as a logger ${description}, with one line or many in a write`, async () => {
      const single = new Writes();
      const many = new Writes();
      const reference = new Writes();
      const logger = pino({ timestamp, ...options }, reference).child({ part: 'dtc' });
      const singleLogger = pino({ timestamp, ...options }, single).child({ part: 'dtc' });
      const singleLines = new PinoTransactionLines(singleLogger);
      const { lines } = batching(many, { timestamp, ...options });

      for (const record of [...(await records()), ...(await sales(...ALIKE, ...TRACED))]) {
        singleLines.write(record);
        lines.write(record);
        writtenByPino(logger, record);
      }
      lines.flush();

      expect(reference.texts).toHaveLength(12);
      expect(single.texts).toEqual(reference.texts);
      expect(many.texts).toEqual([reference.texts.join('')]);
    });
  }

  it('lets the logger format only the first of equal lines, and the first of each write', async () => {
    const writes = new Writes();
    const { lines, logger } = batching(writes);
    const formatted = vi.spyOn(logger, 'info');
    const alike = await sales(...ALIKE);

    for (const record of alike) lines.write(record);
    expect(formatted).toHaveBeenCalledTimes(1);
    lines.flush();
    for (const record of alike) lines.write(record);
    lines.flush();

    expect(formatted).toHaveBeenCalledTimes(2);
    expect(writes.texts).toHaveLength(2);
    expect(writes.objects).toEqual(
      [...alike, ...alike].map((record) => expect.objectContaining({ ...lineOf(record) }) as unknown),
    );
  });

  it.each<[string, Sale, Sale]>([
    ['another name', {}, { name: 'sale 2' }],
    ['another branch', {}, { branches: ['yes', 'moody'] }],
    ['one branch more', {}, { branches: ['yes', 'other', 'moody'] }],
    ['one branch less', {}, { branches: ['yes'] }],
    ['another outcome', { branches: ['moody'] }, { branches: ['moody'] }],
  ])('makes no line with %s from the previous one', async (_, first, second) => {
    const writes = new Writes();
    const { lines, logger } = batching(writes);
    const formatted = vi.spyOn(logger, 'info');
    const ended = await sales(first, second);

    for (const record of ended) lines.write(record);
    lines.flush();

    expect(formatted).toHaveBeenCalledTimes(2);
    expect(writes.objects).toEqual(
      ended.map((record) => expect.objectContaining({ ...lineOf(record) }) as unknown),
    );
  });

  it('gives the lines of a later write their own time', async () => {
    const writes = new Writes();
    let time = 1;
    const { lines } = batching(writes, { timestamp: () => `,"time":${time}` });
    const alike = await sales(...ALIKE);

    lines.write(alike[0]!);
    lines.flush();
    time = 2;
    lines.write(alike[1]!);
    lines.flush();

    expect(writes.objects.map((line) => line.time)).toEqual([1, 2]);
  });

  it('asks a serializer of the duration for each line', async () => {
    const writes = new Writes();
    const { lines } = batching(writes, {
      serializers: { durationMs: (ms: number) => (ms > 10 ? 'slow' : ms) },
    });

    for (const record of await sales(...ALIKE)) lines.write(record);
    lines.flush();

    expect(writes.objects.map(({ durationMs }) => durationMs)).toEqual([0, 5, 'slow', 'slow']);
  });

  it('passes on other lines of the logger at once', async () => {
    const writes = new Writes();
    const { lines, logger } = batching(writes);

    for (const record of await sales(...ALIKE)) lines.write(record);
    logger.warn('beside');
    expect(writes.objects).toMatchObject([{ msg: 'beside' }]);
    lines.flush();

    expect(writes.objects).toHaveLength(1 + ALIKE.length);
  });

  it('writes one line at a time if its destination is not a PinoOutput', async () => {
    const writes = new Writes();
    const lines = new PinoTransactionLines(pino({}, writes), { linesPerWrite: 64 });

    for (const record of await sales(...ALIKE)) lines.write(record);

    expect(writes.texts).toHaveLength(ALIKE.length);
  });

  it('counts a line that the logger cannot format, and writes the others', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    onTestFinished(() => warn.mockRestore());
    const writes = new Writes();
    const { lines } = batching(writes, {
      serializers: { name: (name: string) => (name === 'broken' ? fail('no such name') : name) },
    });

    for (const record of await sales({}, { name: 'broken' }, {})) lines.write(record);
    lines.flush();

    expect(lines.dropped).toBe(1);
    expect(writes.objects.map(({ name }) => name)).toEqual(['sale', 'sale']);
    expect(warn).toHaveBeenCalledTimes(1);
  });

  it('gives each line of many in a write its own attributes', async () => {
    const writes = new Writes();
    const { lines } = batching(writes);
    const [one, two] = [{ orderId: '1' }, { orderId: '2' }];

    for (const record of await sales({}, { attributes: one }, { attributes: two }, {})) lines.write(record);
    lines.flush();

    expect(writes.texts).toHaveLength(1);
    const attributes = writes.objects.map((line) => line['attributes']);
    expect(attributes).toEqual([undefined, one, two, undefined]);
  });

  it('flushes what a destination of pino holds back', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pino-lines-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'lines');
    const output = new PinoOutput(destination({ dest: file, sync: false, minLength: 4096 }));
    const lines = new PinoTransactionLines(pino({}, output), { linesPerWrite: 64, destination: output });

    for (const record of await sales(...ALIKE)) lines.write(record);
    lines.flush();

    await expect.poll(() => readFileSync(file, 'utf8').split('\n').length).toBe(ALIKE.length + 1);
  });

  it('leaves the writing to a logger whose streams select lines by level', async () => {
    const errors = new Writes();
    const all = new Writes();
    const lines = new PinoTransactionLines(
      pino(
        {},
        multistream([
          { level: 'error', stream: errors },
          { level: 'info', stream: all },
        ]),
      ),
    );

    for (const record of await records()) lines.write(record);
    lines.flush();

    expect(errors.texts).toEqual([]);
    expect(all.objects).toHaveLength(4);
  });

  it('writes each field of the line of each transaction', async () => {
    const writes = new Writes();
    const lines = new PinoTransactionLines(pino({ base: null }, writes));
    const ended = await records();

    for (const record of ended) lines.write(record);
    lines.flush();

    const common = { level: 30, time: expect.any(Number) as number, context: 'Transaction' };
    expect(writes.objects).toEqual([
      {
        ...common,
        transactionId: ended[0]!.transactionId,
        name: 'a "quoted" name, ünïcödé \u2028 and \n more',
        outcome: 'committed',
        durationMs: 12.5,
        branches: ['yes', 'yes.2'],
        msg: 'transaction committed',
      },
      {
        ...common,
        transactionId: ended[1]!.transactionId,
        name: 'transaction',
        outcome: 'committed',
        durationMs: 0,
        branches: [],
        msg: 'transaction committed',
      },
      {
        ...common,
        transactionId: ended[2]!.transactionId,
        name: 'refused',
        outcome: 'aborted',
        cause: 'refused',
        participant: 'no',
        reason: 'refused without a reason',
        durationMs: 0,
        branches: ['no', 'yes'],
        msg: 'transaction aborted',
      },
      {
        ...common,
        transactionId: ended[3]!.transactionId,
        name: 'odd',
        outcome: 'heuristic mixed',
        durationMs: 0,
        branches: ['odd', 'yes'],
        msg: 'transaction heuristic mixed',
      },
    ]);
    expect(writes.texts.join('')).not.toContain(PAYLOAD);
  });

  it('writes the waiting lines at the end of the turn, in one piece', async () => {
    const writes = new Writes();
    const { lines } = batching(writes);
    const [record] = await records();

    lines.write(record!);
    lines.write(record!);
    await Promise.resolve();
    expect(writes.texts).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));

    expect(writes.texts).toHaveLength(1);
    expect(writes.objects).toHaveLength(2);
    lines.write(record!);
    await new Promise((resolve) => setImmediate(resolve));
    expect(writes.texts).toHaveLength(2);
  });

  it('does not let more than 64 lines wait', async () => {
    const writes = new Writes();
    const { lines } = batching(writes);
    const [record] = await records();

    for (let count = 0; count < 130; count++) lines.write(record!);

    expect(writes.texts).toHaveLength(2);
    expect(writes.objects).toHaveLength(128);
    lines.flush();
    expect(writes.objects).toHaveLength(130);
    lines.flush();
    expect(writes.texts).toHaveLength(3);
  });

  it.each<[string, (destination: PinoDestination) => PinoTransactionLines]>([
    ['the logger writes to', (parsing) => new PinoTransactionLines(pino({}, parsing))],
    [
      'is behind a PinoOutput',
      (parsing) => {
        const output = new PinoOutput(parsing);
        return new PinoTransactionLines(pino({}, output), { destination: output });
      },
    ],
  ])('writes one line at a time to a destination that %s, by default', async (_, linesTo) => {
    const arrived: unknown[] = [];
    const lines = linesTo({ write: (text: string) => void arrived.push(JSON.parse(text)) });
    const [record] = await records();

    for (let count = 0; count < 30; count++) lines.write(record!);

    expect(arrived).toHaveLength(30);
  });

  it.each([0, -1, 1.5, NaN, 1_001, '64' as unknown as number])(
    'refuses %s lines a write',
    (linesPerWrite) => {
      expect(() => new PinoTransactionLines(pino(new Writes()), { linesPerWrite })).toThrow(
        'linesPerWrite: ',
      );
    },
  );

  it.each([
    ['plain', {}, 2],
    ['changing', { redact: ['name'] }, 2],
    ['plain', {}, 1],
  ])(
    'counts the lines that the stream of a %s logger refuses, and those that it drops (%#)',
    async (_, options, linesPerWrite) => {
      const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
      onTestFinished(() => warn.mockRestore());
      const full = { dropped: 7, write: () => fail('disk full') };
      const { lines } = batching(full, options, linesPerWrite);
      const [record] = await records();
      expect(lines.dropped).toBe(7);

      for (let count = 0; count < 3; count++) lines.write(record!);
      lines.flush();

      expect(lines.dropped).toBe(10);
      expect(warn).toHaveBeenCalledTimes(1);
    },
  );

  it('warns when its stream fails at the end of the turn, and continues', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    onTestFinished(() => warn.mockRestore());
    const writes = new Writes();
    let isFull = true;
    const { lines } = batching({ write: (text) => (isFull ? fail('disk full') : writes.write(text)) });
    const [record] = await records();

    lines.write(record!);
    await settled();
    expect(warn.mock.calls).toEqual([['Lines of the log are lost: disk full']]);

    isFull = false;
    lines.write(record!);
    await settled();
    expect(writes.objects).toHaveLength(1);
    expect(warn).toHaveBeenCalledTimes(1);
  });

  it('adds one listener to a logger, however many applications share it', () => {
    const logger = pino({ level: 'info' }, new Writes());
    const all = Array.from({ length: 12 }, () => new PinoTransactionLines(logger));
    expect(logger.listenerCount('level-change')).toBe(1);
    logger.level = 'warn';
    expect(all.map((lines) => lines.isEnabled())).toEqual(Array(12).fill(false));
    expect(new PinoTransactionLines(logger.child({}, { level: 'info' })).isEnabled()).toBe(true);
  });

  it('is enabled according to the level of the logger, even when that changes', () => {
    const logger = pino({ level: 'info' }, new Writes());
    const lines = new PinoTransactionLines(logger);
    const enabled = (): [boolean, boolean] => [lines.isEnabled(), lines.isDebugEnabled()];

    expect(enabled()).toEqual([true, false]);
    logger.level = 'debug';
    expect(enabled()).toEqual([true, true]);
    logger.level = 'warn';
    expect(enabled()).toEqual([false, false]);
    logger.level = 'silent';
    expect(enabled()).toEqual([false, false]);
  });

  it('reaches a transport in whole lines', async () => {
    const received: string[] = [];
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    // Chunks as a pipe to another process would cut them, at no particular place.
    const pipe = new Writable({
      highWaterMark: 16,
      write(chunk: Buffer, _encoding, done) {
        received.push(chunk.toString());
        done();
      },
      final(done) {
        end();
        done();
      },
    });
    const { lines } = batching(pipe);
    for (const record of await records()) lines.write(record);
    lines.flush();
    pipe.end();
    await ended;

    const text = received.join('');
    expect(text.endsWith('\n')).toBe(true);
    expect(text.trimEnd().split('\n')).toHaveLength(4);
  });
});
