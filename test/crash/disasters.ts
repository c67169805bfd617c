import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../simulation/random.js';
import { hasMariaDb } from '../support/mariadb/server.js';
import { HOST } from '../support/postgres/server.js';
import { TcpProxy, type Verdict } from '../support/tcp-proxy.js';
import { NAME } from './application/application.module.js';
import type { CrashOrder } from './application/crash-points.js';
import type { BankUnderFire } from './bank-under-fire.js';
import { keepBusy } from './random-kills.js';
import { type Answer, PATIENCE_MS } from './run.js';

/** Strikes the bank. @returns the problems found afterwards. */
export type Disaster = (bank: BankUnderFire, random: Random) => Promise<string[]>;

/** Until the application is told otherwise: the time-out of transactions where one has to be waited for. */
const SHORT_MS = 1_000;

/** The power fails: the log goes back to what it was when it last said that it had flushed. */
export function powerFails(order: CrashOrder): Disaster {
  return withSettings(async (bank) => {
    const copy = join(bank.logPath, 'flushed');
    bank.settings = { flushedCopy: copy };
    const run = await bank.start().up();
    run.arm(order);
    await Promise.all([bank.transfer(run), bank.transfer(run), bank.transfer(run)]);
    await run.ended;
    rmSync(join(bank.logPath, NAME), { recursive: true });
    cpSync(copy, join(bank.logPath, NAME), { recursive: true });
    return bank.reckon();
  });
}

/**
 * The log takes a record and never answers: no commit may leave, so that a crash finds all prepared, or none.
 */
export const logHangs: Disaster = async (bank) => {
  const run = await bank.running();
  run.arm({ point: 'before COMMIT PREPARED', hit: 2 }, 'hangs');
  const hanging = bank.transfer(run);
  // One that needs no record, and is over after the other would have committed.
  for (let others = 0; others < 3; others++) await bank.transfer(run, 'refused-last');
  await run.kill();
  await hanging;
  return bank.reckon();
};

/** One branch does not commit while other transactions come and go: its decision is kept until it does. */
export const commitHangs: Disaster = async (bank) => {
  const run = await bank.running();
  const hanging = bank.transfer(run, 'stuck');
  for (let others = 0; others < 3; others++) await bank.transfer(run);
  await run.settle();
  await run.kill();
  await hanging;
  return bank.reckon();
};

/** PostgreSQL is killed under load, and started again. */
export const postgresIsKilled: Disaster = async (bank, random) => {
  const run = await bank.running();
  const load = keepBusy(bank, run, random, random.whole(4, 20));
  await load.enough;
  await bank.server.kill();
  await bank.server.restart();
  load.stop();
  await load.over;
  return bank.reckon();
};

/** A connection is cut when a statement goes by: before it gets there, or before its answer gets back. */
export function connectionIsCut(statement: string, verdict: Verdict): Disaster {
  return withSettings(async (bank) => {
    const proxy = await TcpProxy.open({ host: HOST, port: bank.server.port });
    try {
      const [payers, payees, house] = bank.books.databases.map(({ urlBy }) => urlBy({ port: proxy.port }));
      bank.settings = { databases: [payers!, payees!, house!] };
      const run = await bank.start().up();
      let cut = false;
      proxy.rule = (data, direction) => {
        if (cut || direction !== 'up' || !data.includes(statement)) return 'pass';
        cut = true;
        return verdict;
      };
      await Promise.all([bank.transfer(run), bank.transfer(run, 'refused-last'), bank.transfer(run)]);
      const wrong = await bank.reckon();
      if (!cut) wrong.push(`no ${statement} went by`);
      await run.kill();
      return wrong;
    } finally {
      await proxy.close();
    }
  });
}

/** MariaDB is killed under load, and started again. */
export const mariaDbIsKilled: Disaster = async (bank, random) => {
  const run = await bank.running();
  const load = keepBusy(bank, run, random, random.whole(4, 20));
  await load.enough;
  await bank.books.stock!.server.kill();
  await bank.books.stock!.server.restart();
  load.stop();
  await load.over;
  return bank.reckon();
};

/**
 * A statement goes by to MariaDB: its connection is cut, or the application is killed, before it gets there
 * or when it has.
 */
export function atMariaDb(
  statement: string,
  what: 'cut' | 'cut-answer' | 'kill before' | 'kill after',
): Disaster {
  return withSettings(async (bank) => {
    const { server, database } = bank.books.stock!;
    const proxy = await TcpProxy.open({ host: HOST, port: server.port });
    try {
      bank.settings = { stock: database.urlBy({ port: proxy.port }) };
      const run = await bank.start().up();
      let isOver = false;
      proxy.rule = (data, direction) => {
        if (isOver || direction !== 'up' || !data.includes(statement)) return 'pass';
        isOver = true;
        if (what === 'cut' || what === 'cut-answer') return what;
        run.signal('SIGKILL');
        return what === 'kill before' ? 'cut' : 'cut-answer';
      };
      await Promise.all([bank.transfer(run), bank.transfer(run, 'refused-last'), bank.transfer(run)]);
      // A caller hears of an abort before the rollback.
      if (what.startsWith('kill')) await Promise.race([run.ended, pause(PATIENCE_MS / 2)]);
      const wrong = await bank.reckon();
      if (!isOver) wrong.push(`no ${statement} went by`);
      await bank.end();
      return wrong;
    } finally {
      await proxy.close();
    }
  });
}

/** @returns why this machine cannot show it; undefined when it can. */
export function hasNoMariaDb(): string | undefined {
  return hasMariaDb() ? undefined : 'MariaDB is not installed';
}

/**
 * The application stands still for longer than its transactions may take, and goes on as if nothing had been.
 */
export const processStandsStill: Disaster = withSettings(async (bank, random) => {
  bank.settings = { timeoutMs: SHORT_MS };
  const run = await bank.start().up();
  const load = keepBusy(bank, run, random, random.whole(4, 20));
  await load.enough;
  run.signal('SIGSTOP');
  await pause(2 * SHORT_MS);
  run.signal('SIGCONT');
  load.stop();
  await load.over;
  return bank.reckon();
});

/**
 * The disk of the log is full, and has room again later. Needs the right to mount a file system in memory.
 */
export const diskIsFull: Disaster = withSettings(async (bank) => {
  const disk = mkdtempSync(join(tmpdir(), 'disk-'));
  mount(disk);
  try {
    bank.settings = { logPath: disk };
    const run = await bank.start().up();
    const filler = join(disk, 'filler');
    fill(filler);
    const wrong: string[] = [];
    await until('a transaction is refused', async () => {
      const answers = await Promise.all([big(bank), big(bank), big(bank)]);
      return answers.some((answer) => 'refused' in answer && answer.refused === 'DTC_LOG_UNAVAILABLE');
    });
    rmSync(filler);
    await until('there is room again', async () => {
      const answer = await big(bank);
      return 'told' in answer && answer.told.status === 'committed';
    });
    wrong.push(...(await bank.reckon()));
    await run.kill();
    return wrong;
  } finally {
    spawnSync('umount', [disk]);
    rmSync(disk, { recursive: true });
  }
});

/** A flush fails, and every one after it. Needs strace. */
export function flushFails(at: number): Disaster {
  return withSettings(async (bank) => {
    bank.settings = { timeoutMs: SHORT_MS };
    const inject = `inject=fsync:error=EIO:when=${at}+`;
    const tracer = ['strace', '-D', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fsync', '-e', inject];
    const run = await bank.start(undefined, tracer).up();
    await until('a transaction is refused', async () => {
      const answer = await bank.transfer(run);
      return 'refused' in answer && answer.refused === 'DTC_LOG_UNAVAILABLE';
    });
    const condition = await run.settle();
    await run.kill();
    const wrong = await bank.reckon();
    if (condition?.restartNeeded !== true) wrong.push('the log was not said to be broken');
    return wrong;
  });
}

/** @returns why this machine cannot show it; undefined when it can. */
export function cannotFillADisk(): string | undefined {
  const disk = mkdtempSync(join(tmpdir(), 'disk-'));
  try {
    mount(disk);
    spawnSync('umount', [disk]);
    return undefined;
  } catch {
    return 'a file system in memory cannot be mounted here, which takes root';
  } finally {
    rmSync(disk, { recursive: true });
  }
}

/** @returns why this machine cannot show it; undefined when it can. */
export function cannotFailAFlush(): string | undefined {
  const traced = spawnSync('strace', ['-D', '-f', '-o', '/dev/null', 'true']);
  return traced.status === 0 ? undefined : 'strace is missing, or may trace nothing';
}

/** Ends the run before, and the one that has these settings alone. */
function withSettings(disaster: Disaster): Disaster {
  return async (bank, random) => {
    const before = await bank.running();
    await before.kill();
    try {
      return await disaster(bank, random);
    } finally {
      await bank.end();
      bank.settings = {};
    }
  };
}

function mount(folder: string): void {
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
  if (status !== 0) throw new Error(`${folder} cannot be mounted`);
}

function fill(file: string): void {
  for (let bytes = 65_536; bytes >= 512;) {
    try {
      writeFileSync(file, Buffer.alloc(bytes), { flag: 'a' });
    } catch {
      bytes /= 2;
    }
  }
}

/** A transfer whose record takes more than what a small log has free within. */
async function big(bank: BankUnderFire): Promise<Answer> {
  return bank.transfer(await bank.running(), 'plain', 100_000);
}

async function until(what: string, happens: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await happens())) {
    if (performance.now() > end) throw new Error(`Waited in vain until ${what}`);
  }
}
