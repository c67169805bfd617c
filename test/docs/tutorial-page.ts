import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { freePort } from '../../src/postgres-server/free-port.js';
import { run } from '../package/commands.js';
import { type Block, blocksIn } from './blocks.js';

const PORT_IN_THE_PAGE = '127.0.0.1:3000';
/** Far more than anything takes, on a slow machine with other work. */
const LIMIT_MS = 180_000;
/** How often the application is asked whether it listens. */
const LOOK_MS = 50;

const blocks = blocksIn('docs/tutorial.md');
const [setUp, start, ...others] = blocks.filter(({ language }) => language === 'sh');

/** The commands that make the folder and install the packages. */
export const SET_UP = setUp!.code.trim().split('\n');
/** The requests, each with the output that the page shows. */
export const REQUESTS: readonly Block[] = others;

/** Programs that the page uses, beside Node. */
export const HAS_CURL = spawnSync('curl', ['--version']).status === 0;

/** The block that shows the output of another one: the next one. */
export function outputOf(block: Block): string {
  const next = blocks[blocks.indexOf(block) + 1]!;
  expect(next.language).toBe('text');
  return next.code;
}

/** Puts into each file what the page says. */
export function writeFilesOfPage(folder: string): void {
  for (const { file, code } of blocks.filter((block) => block.file !== undefined)) {
    mkdirSync(dirname(join(folder, file!)), { recursive: true });
    writeFileSync(join(folder, file!), code);
  }
}

/**
 * Each application has a log of its own, and so other ids. An id that has another form stays, and differs.
 */
function withoutIds(output: string): string {
  return output.replaceAll(/"two-banks\.[0-9a-z]{12}\.1\.\d+"/g, '"an id"');
}

/**
 * Compiles and starts what the page has made, sends its requests, and compares the answers with those of the
 * page.
 *
 * @param folder with the files and the packages.
 * @returns what the application wrote.
 */
export async function followPage(folder: string): Promise<string> {
  const port = await freePort();
  const [compile, serve, ...more] = start!.code.trim().split('\n');
  expect(more).toEqual([]);
  await run(folder, LIMIT_MS, 'bash', '-euc', compile!);
  const [program, ...args] = serve!.split(' ');
  expect(program).toBe('node');
  const application = spawn(process.execPath, args, {
    cwd: folder,
    env: { ...process.env, PORT: String(port), NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    let output = '';
    for (const stream of [application.stdout, application.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    }
    await listens(application, port);
    for (const block of REQUESTS) {
      const script = block.code.replaceAll(PORT_IN_THE_PAGE, `127.0.0.1:${port}`);
      const shown = await run(folder, LIMIT_MS, 'bash', '-euc', script);
      expect(withoutIds(shown)).toBe(withoutIds(outputOf(block)));
    }
    application.kill('SIGTERM');
    expect(await once(application, 'close')).toEqual([null, 'SIGTERM']);
    return output;
  } finally {
    application.kill('SIGKILL');
  }
}

/** @throws Error when the application has ended, or does not listen within three minutes. */
async function listens(application: ChildProcess, port: number): Promise<void> {
  const end = performance.now() + LIMIT_MS;
  while (application.exitCode === null && application.signalCode === null && performance.now() < end) {
    const isUp = await fetch(`http://127.0.0.1:${port}/balances`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isUp) return;
    await delay(LOOK_MS);
  }
  const { exitCode, signalCode } = application;
  throw new Error(`The application does not listen: exit code ${exitCode}, signal ${signalCode}.`);
}
