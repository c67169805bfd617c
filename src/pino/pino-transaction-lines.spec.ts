import { Writable } from 'node:stream';
import { type Logger, type LoggerOptions, multistream, pino } from 'pino';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ScriptedParticipant, createTestCoordinator, settled } from '../coordinator/testing/index.js';
import { branch } from '../coordinator/participant/branch-request.js';
import type { TransactionRecord } from '../coordinator/execution/transaction-record.js';
import { PinoTransactionLines } from './pino-transaction-lines.js';
import { lineOf } from '../coordinator/observation/transaction-lines.js';

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
/** Always the same, so that two lines can be compared to the letter. */
const timestamp = (): string => ',"time":1893456000000';

function fail(message: string): never {
  throw new Error(message);
}

/** Transactions of every kind of end, with their records. */
async function records(): Promise<TransactionRecord[]> {
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
    return record;
  });
}

/** What the logger itself writes for the same transaction. */
function writtenByPino(logger: Logger, record: TransactionRecord): void {
  const line = lineOf(record);
  logger.info({ context: 'Transaction', ...line }, `transaction ${line.outcome}`);
}

const plain: [description: string, options: LoggerOptions][] = [
  ['as it comes', {}],
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
  ['a mixin', { mixin: () => ({ requestId: 'r-1' }) }],
  ['a redacted field', { redact: ['name'] }],
  ['a redacted list', { redact: { paths: ['branches[*]'], censor: '***' } }],
  [
    'a serializer for a field of the line',
    { serializers: { outcome: (word: string) => word.toUpperCase() } },
  ],
  ['a formatter of lines', { formatters: { log: (line) => ({ ...line, extra: true }) } }],
  ['a nested key', { nestedKey: 'payload' }],
  ['a prefix for messages', { msgPrefix: '[dtc] ' }],
  [
    'a hook around its methods',
    {
      hooks: {
        logMethod(args, method) {
          method.apply(this, [{ ...(args[0] as object), hooked: true }, args[1]]);
        },
      },
    },
  ],
  ['a hook before its stream', { hooks: { streamWrite: (line) => line.replace('transaction ', 'tx ') } }],
];

describe('PinoTransactionLines', () => {
  for (const [description, options] of plain) {
    it(`writes to the letter what a logger ${description} would, many lines at once`, async () => {
      const writes = new Writes();
      const reference = new Writes();
      const logging = pino({ timestamp, ...options }, writes).child({ part: 'dtc' });
      const lines = new PinoTransactionLines(logging, { linesPerWrite: 64 });
      const logger = pino({ timestamp, ...options }, reference).child({ part: 'dtc' });

      for (const record of await records()) {
        lines.write(record);
        writtenByPino(logger, record);
      }
      lines.flush();

      expect(reference.texts).toHaveLength(4);
      expect(writes.texts).toEqual([reference.texts.join('')]);
    });
  }

  for (const [description, options] of changing) {
    it(`leaves the writing to a logger with ${description}`, async () => {
      const writes = new Writes();
      const reference = new Writes();
      const lines = new PinoTransactionLines(pino({ timestamp, ...options }, writes));
      const logger = pino({ timestamp, ...options }, reference);
      const unchanged = new Writes();

      for (const record of await records()) {
        lines.write(record);
        writtenByPino(logger, record);
        writtenByPino(pino({ timestamp }, unchanged), record);
      }
      lines.flush();

      expect(writes.texts).toEqual(reference.texts);
      expect(writes.texts).not.toEqual(unchanged.texts);
    });
  }

  it('leaves the writing to a logger whose streams take lines by their level', async () => {
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

  it('says of each transaction what the line is to say, field by field', async () => {
    const writes = new Writes();
    const lines = new PinoTransactionLines(pino({ base: null }, writes));
    const ended = await records();

    for (const record of ended) lines.write(record);
    lines.flush();

    const common = { level: 30, time: expect.any(Number) as number, context: 'Transaction' };
    expect(writes.objects).toEqual([
      {
        ...common,
        transactionId: ended[0]!.id,
        name: 'a "quoted" name, ünïcödé \u2028 and \n more',
        outcome: 'committed',
        durationMs: 12.5,
        branches: ['yes', 'yes.2'],
        msg: 'transaction committed',
      },
      {
        ...common,
        transactionId: ended[1]!.id,
        name: 'transaction',
        outcome: 'committed',
        durationMs: 0,
        branches: [],
        msg: 'transaction committed',
      },
      {
        ...common,
        transactionId: ended[2]!.id,
        name: 'refused',
        outcome: 'aborted',
        durationMs: 0,
        branches: ['no', 'yes'],
        msg: 'transaction aborted',
      },
      {
        ...common,
        transactionId: ended[3]!.id,
        name: 'odd',
        outcome: 'heuristic mixed',
        durationMs: 0,
        branches: ['odd', 'yes'],
        msg: 'transaction heuristic mixed',
      },
    ]);
    expect(writes.texts.join('')).not.toContain(PAYLOAD);
  });

  it('writes what waits at the end of the turn, in one piece', async () => {
    const writes = new Writes();
    const lines = new PinoTransactionLines(pino({}, writes), { linesPerWrite: 64 });
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
    const lines = new PinoTransactionLines(pino({}, writes), { linesPerWrite: 64 });
    const [record] = await records();

    for (let count = 0; count < 130; count++) lines.write(record!);

    expect(writes.texts).toHaveLength(2);
    expect(writes.objects).toHaveLength(128);
    lines.flush();
    expect(writes.objects).toHaveLength(130);
    lines.flush();
    expect(writes.texts).toHaveLength(3);
  });

  it('gives a destination that parses each write one line a write, unless it is told otherwise', async () => {
    const arrived: unknown[] = [];
    const parsing = { write: (text: string) => void arrived.push(JSON.parse(text)) };
    const lines = new PinoTransactionLines(pino({}, parsing));
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
    ['plain', {}],
    ['changing', { redact: ['name'] }],
  ])(
    'counts the lines that the stream of a %s logger refuses, and those that it drops',
    async (_, options) => {
      const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
      onTestFinished(() => warn.mockRestore());
      const destination = { dropped: 7, write: () => fail('disk full') };
      const lines = new PinoTransactionLines(pino(options, destination), { linesPerWrite: 2, destination });
      const [record] = await records();
      expect(lines.dropped).toBe(7);

      for (let count = 0; count < 3; count++) lines.write(record!);
      lines.flush();

      expect(lines.dropped).toBe(10);
      expect(warn).toHaveBeenCalledTimes(1);
    },
  );

  it('warns when its stream fails at the end of the turn, which ends no process, and goes on', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    onTestFinished(() => warn.mockRestore());
    const writes = new Writes();
    let isFull = true;
    const lines = new PinoTransactionLines(
      pino({}, { write: (text) => (isFull ? fail('disk full') : writes.write(text)) }),
      { linesPerWrite: 64 },
    );
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

  it('is enabled as the level of the logger is, also when that changes', () => {
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
    const lines = new PinoTransactionLines(pino({}, pipe), { linesPerWrite: 64 });
    for (const record of await records()) lines.write(record);
    lines.flush();
    pipe.end();
    await ended;

    const text = received.join('');
    expect(text.endsWith('\n')).toBe(true);
    expect(text.trimEnd().split('\n')).toHaveLength(4);
  });
});
