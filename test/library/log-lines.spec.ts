import { Injectable } from '@nestjs/common';
import { EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import type { TestingModule } from '@nestjs/testing';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  CoordinatorModule,
  type CoordinatorModuleOptions,
  CoordinatorStatus,
  NestTransactionLines,
  OperatorActions,
  ParticipantRegistry,
  type TransactionCommittedEvent,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import {
  ManualClock,
  type ParticipantScript,
  ScriptedParticipant,
  recoverNow,
  settled,
} from '../../src/coordinator/testing/index.js';
import { CoordinatorRuntime } from '../../src/coordinator/execution/coordinator-runtime.js';
import { Reporter } from '../../src/coordinator/observation/reporter.js';
import { recordOf } from '../faults/restarted.js';
import { ScriptedLog } from '../faults/scripted-log.js';
import { claimOf } from '../support/identity.js';
import { start, startWith } from './support/applications.js';
import { LogRecorder } from './support/log-recorder.js';

@Injectable()
class Listener {
  readonly heard: string[] = [];

  @OnEvent('transaction.committed')
  committed({ transactionId }: TransactionCommittedEvent): void {
    this.heard.push(transactionId);
  }
}

const SECRET = 'the secret payload';

let clock: ManualClock;
let log: LogRecorder;
let application: TestingModule;
let transactions: TransactionManager;

async function startLogged(options: CoordinatorModuleOptions = {}): Promise<void> {
  application = await startWith(
    [],
    // What a test leaves open is waited for in vain.
    { clock, maxAttempts: 2, retryBaseMs: 20, random: () => 0.5, shutdownGraceMs: 100, ...options },
    log,
  );
  transactions = application.get(TransactionManager);
}

beforeEach(async () => {
  clock = new ManualClock();
  log = new LogRecorder();
  await startLogged();
});

function participant(name: string, script: ParticipantScript): void {
  application.get(ParticipantRegistry).register(new ScriptedParticipant(script, clock), { name });
}

/** Runs a transaction over these participants to its end, and some time beyond. */
async function run(...names: string[]): Promise<string> {
  const branches = names.map((name) => branch(name, { text: SECRET }));
  const running = transactions.run({ name: 'sale', branches });
  await settled();
  await clock.advance(6_000, 50);
  return (await running).transactionId;
}

/** Level, text and fields of what was logged about transactions, at info and above. */
function lines(): unknown[] {
  return log
    .of('Transaction')
    .filter(({ level }) => level !== 'debug')
    .map(({ level, message }) => {
      const { msg, ...fields } = message as { msg: string };
      return [level, msg, fields];
    });
}

describe("lines through Nest's logger", () => {
  it('a committed transaction is one line, with outcome, duration and branches', async () => {
    participant('a', { prepare: { delayMs: 40 } });
    participant('b', {});

    const transactionId = await run('a', 'b');

    const fields = {
      transactionId,
      name: 'sale',
      outcome: 'committed',
      durationMs: 40,
      branches: ['a', 'b'],
    };
    expect(lines()).toEqual([['log', 'transaction committed', fields]]);
  });

  it('a refusal is told by the line of the end alone, with participant, code and reason', async () => {
    participant('a', { prepare: { refuse: 'SOLD_OUT', reason: 'none left' } });
    participant('b', {});

    const transactionId = await run('a', 'b');

    expect(lines()).toEqual([
      [
        'log',
        'transaction aborted',
        {
          transactionId,
          name: 'sale',
          outcome: 'aborted',
          durationMs: 0,
          cause: 'refused',
          participant: 'a',
          code: 'SOLD_OUT',
          reason: 'none left',
          branches: ['a', 'b'],
        },
      ],
    ]);
  });

  it('a failure and a time-out of prepare are warnings that say so', async () => {
    participant('broken', { prepare: 'throw' });
    participant('slow', { prepare: 'hang' });

    await run('broken');
    await run('slow');

    expect(log.of('Transaction', 'warn').map(({ text }) => text)).toEqual([
      'prepare failed: scripted failure',
      'prepare timed-out: slow did not answer prepare within 2000 ms',
    ]);
  });

  it('each failed attempt is a warning with its number and the next step', async () => {
    participant('a', { commit: ['throw', 'yes'] });

    const transactionId = await run('a');

    expect(lines()[0]).toEqual([
      'warn',
      'commit failed, next in 10 ms: scripted failure',
      { transactionId, name: 'sale', branchId: 'a', participant: 'a', attempt: 1, cause: 'failed' },
    ]);
  });

  it('a stalled branch and a heuristic report are errors', async () => {
    participant('a', { commit: 'throw' });
    participant('b', { commit: { heuristic: 'mixed' } });

    await run('a');
    await run('b');

    expect(log.of('Transaction', 'error').map(({ text }) => text)).toEqual([
      'stalled, left to the recovery job: scripted failure',
      'heuristic mixed: scripted',
    ]);
    expect(lines().at(-1)).toEqual([
      'log',
      'transaction heuristic mixed',
      expect.objectContaining({ outcome: 'heuristic mixed' }),
    ]);
  });

  it('the steps of the state machine are debug lines where they are asked for, each with its transaction', async () => {
    await startLogged({ lines: new NestTransactionLines({ steps: true }) });
    participant('a', {});

    const transactionId = await run('a');

    const steps = log.of('Transaction', 'debug');
    expect(steps.map(({ text }) => text)).toEqual([
      'ACTIVE to PREPARING',
      'PREPARING to READY',
      'READY to COMMITTING',
      'COMMITTING to COMMITTED',
    ]);
    for (const { message } of steps) expect(message).toMatchObject({ transactionId, name: 'sale' });
  });

  it('votes that are about to expire are told by one line of their participant in ten seconds, which counts the others', async () => {
    const vote = { answer: { vote: 'commit', validForMs: 4_000 } };
    participant('a', { prepare: vote, commit: 'throw' });
    participant('b', {});
    const request = { branches: [branch('a', SECRET), branch('b', SECRET)] };
    const soon = () =>
      log.of('Transaction', 'warn').filter(({ text }) => text.startsWith('its vote expires'));

    const running = Array.from({ length: 3 }, () => transactions.run(request));
    await clock.advance(3_000);
    const [{ transactionId }] = await Promise.all(running as [(typeof running)[0]]);
    expect(soon().map(({ message }) => message)).toEqual([
      {
        msg: 'its vote expires in 2000 ms, and commit is decided and not delivered yet',
        transactionId,
        name: 'transaction',
        branchId: 'a',
        participant: 'a',
        attempt: 2,
      },
    ]);

    const leftOut = log.of('Transaction', 'warn').filter(({ text }) => text.includes('left out'));
    expect(leftOut).toEqual([]);
    await application.close();
    expect(log.of('Transaction', 'warn').at(-1)!.message).toMatchObject({
      msg:
        '2 lines of the kind "vote-expiring" were left out in the last 10 s. GET /transactions lists the transactions that are ' +
        'open',
      participant: 'a',
      kind: 'vote-expiring',
      leftOut: 2,
    });
  });

  describe('of a transaction with a trace and the id of a request', () => {
    const caller = {
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
      requestId: 'r-1',
    };
    const origin = { requestId: 'r-1', trace_id: 'a'.repeat(32), span_id: 'b'.repeat(16) };

    it('say so, each of them: failures, attempts, stalls, reports, steps and the end', async () => {
      await application.close();
      await startLogged({ lines: new NestTransactionLines({ steps: true }) });
      const throwing = (): never => {
        throw Object.assign(new Error('no route'), { code: 'EHOSTUNREACH' });
      };
      participant('late', { prepare: { delayMs: 4_000, refuse: 'SOLD_OUT' } });
      participant('failing', {});
      participant('odd', { commit: { heuristic: 'mixed' } });
      for (const names of [['failing'], ['odd', 'failing'], ['late', 'broken']]) {
        if (names.includes('broken')) participant('broken', { prepare: 'throw' });
        const transaction = transactions.begin({ name: 'sale', requestId: 'r-1' });
        const record = application.get(CoordinatorRuntime).registry.find(transaction.id)!;
        Object.assign(record.extras!, { caller });
        for (const name of names) transaction.enlist(branch(name, SECRET));
        if (names[0] === 'failing')
          vi.spyOn(ScriptedParticipant.prototype, 'commit').mockImplementationOnce(throwing);
        const running = transaction.commit();
        await settled();
        await clock.advance(6_000, 50);
        await running;
      }
      const all = log.of('Transaction');
      expect(all.length).toBeGreaterThan(15);
      for (const { message } of all) expect(message).toMatchObject({ name: 'sale', ...origin });
      expect(all.map(({ message }) => message)).toContainEqual(
        expect.objectContaining({ participant: 'failing', cause: 'failed', code: 'EHOSTUNREACH' }),
      );
    });

    it('is a warning when the caller is told pending, with the participants that it waits for', async () => {
      participant('a', { commit: 'hang' });
      const running = transactions.run({
        branches: [branch('a', SECRET), branch('a', SECRET)],
        requestId: 'r-1',
      });
      await clock.advance(4_000, 50);
      await running;
      expect(log.of('Transaction', 'warn').map(({ message }) => message)).toContainEqual(
        expect.objectContaining({
          msg: expect.stringContaining('the caller is told pending: commit is decided'),
          outcome: 'pending',
          decision: 'commit',
          participants: ['a', 'a'],
          requestId: 'r-1',
        }),
      );
    });

    it('is said by the orders of operators, and by their refusals', async () => {
      participant('a', { prepare: 'hang' });
      participant('stuck', { commit: 'throw' });
      const operators = application.get(OperatorActions);
      const order = { by: 'alice', reason: 'by hand' };
      const ids = ['a', 'stuck'].map((name) => {
        const transaction = transactions.begin({
          name: 'sale',
          requestId: 'r-1',
          attributes: { orderId: '7' },
        });
        for (const branchId of ['one', 'two']) transaction.enlist({ ...branch(name, SECRET), branchId });
        void transaction.commit();
        return transaction.id;
      });
      await settled();
      await clock.advance(500, 50);
      await operators.abort(ids[0]!, order);
      await operators.resolve(ids[1]!, 'one', 'commit', order);
      await operators.retry(ids[1]!, 'two', order);
      await expect(operators.abort(ids[1]!, order)).rejects.toMatchObject({ code: 'DTC_ACTION_REFUSED' });
      const said = log.of('Operator', 'warn').map(({ message }) => message);
      const fields = { name: 'sale', requestId: 'r-1', attributes: { orderId: '7' }, by: 'alice' };
      const ofBranch = (branchId: string) => ({
        ...fields,
        transactionId: ids[1],
        branchId,
        participant: 'stuck',
      });
      expect(said).toMatchObject([
        { ...fields, transactionId: ids[0], action: 'abort', reason: 'by hand' },
        { ...ofBranch('one'), action: 'resolve', detail: 'as commit' },
        { ...ofBranch('two'), action: 'retry' },
        {
          ...fields,
          transactionId: ids[1],
          action: 'abort',
          msg: expect.stringMatching(/^refused: /) as unknown,
        },
      ]);
    });

    it('are those of its record after a restart', async () => {
      await application.close();
      const record = { ...recordOf('shop.1.7', 'a'), caller };
      const claim = claimOf({ epoch: 2, decisions: [record] });
      await startLogged({ name: 'shop', log: new ScriptedLog({ claim }) });
      participant('a', { commit: ['throw', 'yes'] });
      await recoverNow(application);
      await clock.advance(6_000, 50);
      await recoverNow(application);
      const lines = log.of('Transaction').map(({ message }) => message);
      expect(lines).toHaveLength(2);
      for (const line of lines) expect(line).toMatchObject({ transactionId: 'shop.1.7', ...origin });
    });
  });

  it('of one kind are limited for each participant, and a line counts those that are left out; a report is never left out', async () => {
    await application.close();
    await startLogged({ maxLinesOfKind: 3 });
    participant('broken', { prepare: 'throw' });
    participant('other', { prepare: 'throw' });
    participant('odd', { prepare: 'yes', commit: { heuristic: 'mixed' } });
    for (let turn = 0; turn < 5; turn++) await run('broken');
    await run('other');
    for (let turn = 0; turn < 5; turn++) await run('odd', 'odd');
    const textOf = (part: string) => log.of('Transaction').filter(({ text }) => text.includes(part)).length;
    expect([textOf('prepare failed'), textOf('heuristic mixed: ')]).toEqual([4, 10]);
    expect(textOf('transaction aborted')).toBe(6);
    const { leftOutLines } = application.get(Reporter);
    expect(Object.fromEntries(leftOutLines)).toEqual({ prepare: 2 });
    await application.close();
    expect(log.of('Transaction', 'warn').at(-1)!.message).toMatchObject({
      msg: expect.stringContaining('2 lines of the kind "prepare" were left out'),
      participant: 'broken',
      leftOut: 2,
    });
  });

  it('no line holds a payload, whatever happens', async () => {
    participant('yes', {});
    participant('no', { prepare: 'no' });
    participant('garbage', { prepare: { answer: { text: SECRET } } });
    participant('late', { prepare: { delayMs: 4_000 } });
    participant('failing', { commit: 'throw' });
    participant('odd', { commit: { heuristic: 'hazard' } });

    for (const name of ['no', 'garbage', 'late', 'failing', 'odd']) await run('yes', name);

    expect(log.entries.length).toBeGreaterThan(20);
    expect(JSON.stringify(log.entries)).not.toContain(SECRET);
  });
});

describe('lines of an application of its own kind', () => {
  it('are not made while they are not read, nor are debug lines while debug is off', async () => {
    const written: string[] = [];
    const lines = {
      isEnabled: () => false,
      isDebugEnabled: () => false,
      write: () => void written.push('line'),
      flush: () => void written.push('flush'),
    };
    await startLogged({ lines });
    participant('a', {});

    await run('a');

    expect(written).toEqual([]);
    expect(log.of('Transaction')).toEqual([]);
    await application.close();
    expect(written).toEqual(['flush']);
  });

  it('that cannot be written change no outcome, suppress no event, and are counted', async () => {
    const lines = {
      isEnabled: () => true,
      isDebugEnabled: () => false,
      write: () => {
        throw new Error('disk full');
      },
      flush: () => {
        throw new Error('disk full');
      },
    };
    application = await start({
      imports: [EventEmitterModule.forRoot(), CoordinatorModule.forRoot({ clock, lines })],
      providers: [Listener],
    });
    transactions = application.get(TransactionManager);
    participant('a', {});

    const transactionId = await run('a');

    expect(application.get(Listener).heard).toEqual([transactionId]);
    expect(transactions.find(transactionId)?.state).toBe('COMMITTED');
    expect(application.get(CoordinatorStatus).statistics()).toMatchObject({ committed: 1, defects: 1 });
  });
});
