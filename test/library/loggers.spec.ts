import { stripVTControlCharacters } from 'node:util';
import { ConsoleLogger, type ConsoleLoggerOptions, type LoggerService } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Logger as NestPinoLogger, LoggerModule } from 'nestjs-pino';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  CoordinatorModule,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';

const REASON = 'only 3 are left,\nand 4 are wanted';

/** What ConsoleLogger has written, as it stands on the terminal. */
function written(): { readonly lines: string[] } {
  const texts: string[] = [];
  const spies = [process.stdout, process.stderr].map((stream) =>
    vi.spyOn(stream, 'write').mockImplementation((text) => {
      texts.push(String(text));
      return true;
    }),
  );
  onTestFinished(() => {
    for (const spy of spies) spy.mockRestore();
  });
  return {
    get lines() {
      return stripVTControlCharacters(texts.join('')).split('\n').slice(0, -1);
    },
  };
}

interface Ids {
  readonly committed: string;
  readonly aborted: string;
}

/** One transaction that commits, and one that `shop` refuses. */
async function runTwo(logger: LoggerService | undefined): Promise<Ids> {
  const builder = Test.createTestingModule({
    imports: [
      CoordinatorModule.forRoot(),
      LoggerModule.forRoot({
        pinoHttp: [{ level: 'info' }, { write: (line: string) => void pinoLines.push(line) }],
      }),
    ],
  });
  if (logger !== undefined) builder.setLogger(logger);
  const application = await builder.compile();
  if (logger === undefined) application.useLogger(application.get(NestPinoLogger));
  await application.init();
  const shop = new ScriptedParticipant({ prepare: ['yes', { refuse: 'OUT_OF_STOCK', reason: REASON }] });
  const registry = application.get(ParticipantRegistry);
  registry.register(shop, { name: 'shop' });
  registry.register(new ScriptedParticipant(), { name: 'bank' });
  const transactions = application.get(TransactionManager);
  const request = { name: 'sale', branches: [branch('shop', 1), branch('bank', 1)] };
  const committed = (await transactions.run(request)).transactionId;
  const aborted = (await transactions.run(request)).transactionId;
  await application.close();
  return { committed, aborted };
}

const pinoLines: string[] = [];

/** The fields of the line of each transaction. */
const fieldsOf = ({ committed, aborted }: Ids) => {
  const common = { name: 'sale', durationMs: expect.any(Number) as number, branches: ['shop', 'bank'] };
  const cause = { cause: 'refused', participant: 'shop', code: 'OUT_OF_STOCK', reason: REASON };
  return {
    committed: { ...common, transactionId: committed, outcome: 'committed' },
    aborted: { ...common, transactionId: aborted, outcome: 'aborted', ...cause },
  };
};

describe('A transaction has one line, which says all of it,', () => {
  it.each<[string, ConsoleLoggerOptions]>([
    ['by default', {}],
    ['with colours', { colors: true }],
    ['without colours', { colors: false }],
    ['with a list of fields to redact', { redact: ['password'] }],
    ['with a field that is redacted', { redact: ['name'] }],
  ])('in the text of ConsoleLogger %s', async (_, options) => {
    const output = written();

    const { committed, aborted } = await runTwo(new ConsoleLogger(options));

    const lines = output.lines.filter((line) => line.includes(committed) || line.includes(aborted));
    expect(lines).toEqual([
      expect.stringMatching(
        / LOG \[Transaction\] transaction committed \{ transactionId: '.*', durationMs: .*\}$/,
      ),
      expect.stringMatching(
        / LOG \[Transaction\] transaction aborted \{ transactionId: '.*', durationMs: .*\}$/,
      ),
    ]);
    expect(lines[1]).toContain(
      `cause: 'refused', participant: 'shop', code: 'OUT_OF_STOCK', reason: 'only 3 are left,\\nand 4 are wanted'`,
    );
    // Nothing stands on a line of its own.
    expect(output.lines.filter((line) => !line.includes('[Nest]'))).toEqual([]);
  });

  it('in the JSON of ConsoleLogger', async () => {
    const output = written();

    const ids = await runTwo(new ConsoleLogger({ json: true }));

    const records = output.lines.map((line) => JSON.parse(line) as { context: string; message: object });
    const { committed, aborted } = fieldsOf(ids);
    expect(records.filter(({ context }) => context === 'Transaction')).toMatchObject([
      { level: 'log', message: { msg: 'transaction committed', ...committed } },
      { level: 'log', message: { msg: 'transaction aborted', ...aborted } },
    ]);
  });

  it('in the fields of nestjs-pino', async () => {
    const ids = await runTwo(undefined);

    const records = pinoLines.map((line) => JSON.parse(line) as { context: string });
    const { committed, aborted } = fieldsOf(ids);
    expect(records.filter(({ context }) => context === 'Transaction')).toMatchObject([
      { level: 30, msg: 'transaction committed', ...committed },
      { level: 30, msg: 'transaction aborted', ...aborted },
    ]);
    expect(pinoLines.filter((line) => line.split('"msg"').length !== 2)).toEqual([]);
  });

  it('in the form that a logger of the application chooses: a text, the fields, or a message and the rest', async () => {
    const texts: string[] = [];
    const jsons: { message: object }[] = [];
    const messages: string[] = [];
    const log = (message: unknown, context: unknown): void => {
      if (context !== 'Transaction') return;
      texts.push(`${context}: ${String(message)}`);
      jsons.push(JSON.parse(JSON.stringify({ message })) as { message: object });
      const { message: text, ...rest } = message as { message: string };
      messages.push(`${text} ${Object.keys(rest).join(' ')}`);
    };

    const ids = await runTwo({ log, warn: log, error: log });

    const { committed } = fieldsOf(ids);
    expect(texts).toHaveLength(2);
    expect(texts[0]).toContain(`Transaction: transaction committed { transactionId: '${ids.committed}'`);
    expect(jsons[0]).toEqual({ message: { msg: 'transaction committed', ...committed } });
    expect(messages[0]).toBe('transaction committed msg transactionId durationMs name outcome branches');
  });
});
