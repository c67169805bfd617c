import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MemberLine, MemberProcess } from './member-process.js';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'members-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Starts a member whose program is this text. */
async function start(text: string): Promise<{ member: MemberProcess; lines: MemberLine[] }> {
  const program = join(folder, 'member.mjs');
  writeFileSync(program, text);
  const lines: MemberLine[] = [];
  const member = await MemberProcess.start('member-1', program, process.env, (line) => lines.push(line));
  return { member, lines };
}

const LISTENS = `process.send({ url: 'http://127.0.0.1:1' });`;
/** Without anything to wait for, a process ends by itself. */
const LIVES = 'setInterval(() => {}, 1000);';

describe('the process of a member', () => {
  it('is there when it says where it listens, and tells lines of its log from other text', async () => {
    const { member, lines } = await start(`
      console.log('{"level":30,"msg":"committed"}');
      console.log('{"level":"log","message":"of Nest"}');
      console.error('no JSON');
      console.error('{no JSON either');
      process.send({ other: true });
      ${LISTENS}
      process.once('message', ({ code }) => process.exit(code));`);

    expect(member.url).toBe('http://127.0.0.1:1');
    expect(member.end).toBeUndefined();
    member.tell({ code: 3 });
    expect(await member.ended).toEqual({ code: 3, signal: null });
    expect(member.end).toEqual({ code: 3, signal: null });
    expect(lines.map(({ text }) => text).toSorted()).toEqual([
      'committed',
      'no JSON',
      'of Nest',
      '{no JSON either',
    ]);
    expect(lines.find(({ text }) => text === 'committed')!.fields).toEqual({ level: 30, msg: 'committed' });
    // A message to a process that has ended is lost, and causes no error.
    member.tell({ code: 4 });
    member.signal('SIGKILL');
  });

  it('is an error when it ends before it listens', async () => {
    await expect(start('process.exit(2);')).rejects.toThrow('member-1 did not start: it ended with code 2.');
    await expect(start(`process.kill(process.pid, 'SIGKILL');`)).rejects.toThrow(/it ended by SIGKILL/);
  });

  it('ends by SIGTERM, and is killed when it takes too long', async () => {
    const willing = await start(`process.on('SIGTERM', () => process.exit(0)); ${LIVES} ${LISTENS}`);
    expect(await willing.member.stop(60_000)).toEqual({ code: 0, signal: null });

    const deaf = await start(`process.on('SIGTERM', () => {}); ${LIVES} ${LISTENS}`);
    expect(await deaf.member.stop(50)).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('ends by a message on Windows, where a signal would end it at once', async () => {
    const willing = await start(`
      process.on('SIGTERM', () => process.exit(1));
      process.once('message', ({ stop }) => process.exit(stop === true ? 0 : 2));
      ${LIVES} ${LISTENS}`);
    expect(await willing.member.stop(60_000, 'win32')).toEqual({ code: 0, signal: null });
    expect(await willing.member.stop(60_000, 'win32')).toEqual({ code: 0, signal: null });
  });
});
