import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { shopTextOf } from '../../scripts/services/announcement.js';
import { Fleet } from '../../scripts/services/fleet.js';
import { FleetOutput } from '../../scripts/services/output.js';
import { NAMES, type ProcessPlan, planOf } from '../../scripts/services/plan.js';
import { makeTokens, tokenIn } from '../../scripts/services/tokens.js';
import { blocksIn } from '../docs/blocks.js';

let folder: string;
let said: string[];
let fleet: Fleet | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleet-'));
  said = [];
});

afterEach(() => {
  fleet?.kill();
  rmSync(folder, { recursive: true, force: true });
});

/** @param program the source of the process. */
function planned(name: string, program: string): ProcessPlan {
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, program);
  return { name, url: '', program: file, environment: process.env };
}

const LISTENS = `process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1_000);
  process.send({ url: 'http://127.0.0.1:1' });`;

async function started(groups: readonly (readonly ProcessPlan[])[]): Promise<Fleet> {
  fleet = new Fleet(groups, groups.toReversed(), { line: () => {}, say: (text) => said.push(text) }, 1);
  await fleet.start();
  return fleet;
}

describe('The processes of the shop', () => {
  it('are started again when they die, and stop in the other order, those that others need last', async () => {
    const all = await started([[planned('needed', LISTENS)], [planned('other', LISTENS)]]);
    const first = all.find('other')!;

    await all.command('kill other');
    await first.ended;
    const second = await all.runs('other');
    await all.stop();

    expect(second.pid).not.toBe(first.pid);
    expect(said.filter((text) => !text.includes('listens'))).toEqual([
      'other was ended by SIGKILL. It is started again in 0.001 s.',
      'other has stopped cleanly',
      'needed has stopped cleanly',
    ]);
  });

  it('end all when one of them cannot be kept running', async () => {
    const all = await started([[planned('weak', `process.send({ url: 'x' }, () => process.exit(7));`)]]);

    expect(await all.failed).toBe('weak has ended 5 times within 60 s. Its last lines say why.');
    expect(said.filter((text) => text.startsWith('weak ended with code 7'))).toHaveLength(4);
  });

  it('stay stopped when a person has stopped them, until they are started again', async () => {
    const all = await started([[planned('one', LISTENS)]]);

    await all.command('stop one');
    expect(all.find('one')).toBeUndefined();
    await all.command('kill one');
    await all.command('start one');
    await all.command('start one');
    await all.command('stop two');

    expect(all.find('one')).toBeDefined();
    expect(said.filter((text) => !text.includes('listens'))).toEqual([
      'one has stopped cleanly',
      'To start it again, type "start one" and press Enter.',
      'one does not run.',
      'one runs already, or is being started or stopped.',
      '"stop two" is no command. Type kill, stop or start, and one of one.',
    ]);
  });

  it('have a folder of tokens each, which stay the same', () => {
    makeTokens(folder);
    const first = tokenIn(folder, 'gateway/carrier');
    makeTokens(folder);

    expect(tokenIn(folder, 'order/carrier')).toBe(first);
    expect(tokenIn(folder, 'coordinator/callers').split('\n')).toEqual([
      `gateway:${tokenIn(folder, 'gateway/caller')}`,
      `order:${tokenIn(folder, 'order/caller')}`,
    ]);
    expect(tokenIn(folder, 'payment/coordinator')).toBe(tokenIn(folder, 'coordinator/own'));
  });

  it('are announced with the commands of the README', () => {
    const ports = NAMES.map((_, index) => 3_000 + index);
    const plans = planOf({ host: '127.0.0.1', ports, databases: {}, tokens: folder, coordinator: '' });
    const text = shopTextOf(plans, 'somewhere', 'data/services').replaceAll(/\s+/g, ' ');
    const [, first] = blocksIn('samples/services/README.md').filter(({ language }) => language === 'sh');

    expect(text).toContain(first!.code.trim().replaceAll(/\s+/g, ' '));
    for (const { url } of Object.values(plans)) expect(text).toContain(url);
  });

  it.each([
    ['127.0.0.1', 'http://127.0.0.1:5'],
    ['0.0.0.0', 'http://127.0.0.1:5'],
    ['::', 'http://[::1]:5'],
  ])('listen on %s, and reach each other at %s', (host, url) => {
    const ports = NAMES.map(() => 5);
    const { gateway, order } = planOf({ host, ports, databases: {}, tokens: folder, coordinator: '' });

    expect(gateway.environment).toMatchObject({ HOST: host, PORT: '5', ORDER_SERVICE: url });
    expect(order.environment).toMatchObject({ HOST: host, ADDRESS: url, COORDINATORS: `${url},${url}` });
  });

  it('leave out for a person the lines that each start has, and write for a program every line as JSON', () => {
    const lines: string[] = [];
    const stream = { write: (line: string) => lines.push(line) > 0 };
    const ofStart = { fields: { level: 'log', context: 'RoutesResolver' }, text: 'Mapped' };
    const warning = { fields: { level: 'warn', context: 'RoutesResolver' }, text: 'no answer' };
    for (const isForPerson of [true, false]) {
      const output = new FleetOutput(stream, isForPerson);
      output.line('order', ofStart);
      output.line('order', warning);
      output.line('order', { fields: { level: 50 }, text: 'failed' });
      output.line('order', { text: 'any text' });
    }

    expect(lines.slice(0, 3)).toEqual([
      'order          WARNING: no answer\n',
      'order          ERROR: failed\n',
      'order          any text\n',
    ]);
    expect(lines.slice(3).map((line) => (JSON.parse(line) as { process: string }).process)).toEqual(
      Array.from({ length: 4 }, () => 'order'),
    );
  });
});
