import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../simulation/random.js';
import { BuiltApplication, listening } from '../support/built-application.js';
import { HostileClient } from './hostile-client.js';
import { HostileRequests, MALFORMED, UNFINISHED } from './hostile-requests.js';

const SEED = 20_261;
/** How many are sent; `npm run test:ci` sends 50,000. */
const REQUESTS = Number(process.env['HOSTILE_REQUESTS'] ?? 5_000);
const RAW = REQUESTS / 50;
const WELL_FORMED = REQUESTS - RAW;
const AT_ONCE = 32;
const STALLED_CONNECTIONS = 60;
const OPERATOR = 'an-operator-s-token';
const READER = 'a-reader-s-token-1';

let application: BuiltApplication;
let child: ChildProcess;
let load: ChildProcess;
let url: string;
let hasEnded = false;

beforeAll(async () => {
  application = BuiltApplication.build('hostile');
  const started = application.start({
    PORT: '0',
    LOG_LEVEL: 'info',
    OPERATOR_TOKENS: `alice:${OPERATOR}`,
    READER_TOKENS: `rita:${READER}`,
  });
  ({ child } = started);
  void started.ended.then(() => (hasEnded = true));
  url = await listening(child);
});

afterAll(() => {
  load?.kill('SIGKILL');
  application.remove();
});

async function get(path: string): Promise<Record<string, unknown>> {
  const response = await fetch(url + path, { headers: { authorization: `Bearer ${READER}` } });
  return (await response.json()) as Record<string, unknown>;
}

/**
 * All that an order, or an operator, could change; but for what the load changes, which is counted by itself.
 */
async function everything(): Promise<unknown> {
  const [coordinator, participants, audit] = await Promise.all([
    get('/coordinator'),
    get('/participants'),
    get('/audit'),
  ]);
  const untouched = ['keyboard', 'monitor', 'last-lamp'].map((sku) => get(`/inventory/${sku}`));
  const accounts = ['alice', 'carol'].map((customer) => get(`/accounts/${customer}`));
  const { accepting, draining, stalled, heuristic } = coordinator['condition'] as Record<string, unknown>;
  return {
    condition: { accepting, draining, stalled, heuristic },
    defects: (coordinator['statistics'] as { defects: number }).defects,
    paused: (participants['participants'] as { paused: unknown }[]).map(({ paused }) => paused),
    audit,
    stock: await Promise.all(untouched),
    accounts: await Promise.all(accounts),
  };
}

/**
 * Sends many requests, a limited number at the same time.
 *
 * @returns how often each status came.
 */
async function count(times: number, send: (index: number) => Promise<number>): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < times) {
      const status = await send(next++);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return statuses;
}

/** Of the server's own errors only 503 may be answered, which says that nothing was done. */
function faultsIn(statuses: ReadonlyMap<number, number>): number[] {
  return [...statuses.keys()].filter((status) => status >= 500 && status !== 503);
}

describe('The application, under load', () => {
  it(`takes ${REQUESTS} hostile requests without a fault or a change (seed ${SEED})`, async () => {
    const before = await everything();
    const stockBefore = (await get('/inventory/usb-cable'))['onHand'] as number;
    load = fork(join(import.meta.dirname, 'load.mjs'), [url], { execArgv: [] });
    await once(load, 'message');
    const client = new HostileClient(url);
    const release = client.stall(UNFINISHED, STALLED_CONNECTIONS);

    const requests = new HostileRequests(new Random(SEED, 1), [OPERATOR, READER, 'a-token-of-nobody-1']);
    const wellFormed = await count(WELL_FORMED, () => client.send(requests.next()));
    const raw = await count(RAW, (index) => client.sendRaw(MALFORMED[index % MALFORMED.length]!));

    expect(hasEnded).toBe(false);
    expect([faultsIn(wellFormed), faultsIn(raw)]).toEqual([[], []]);
    // Each kind of answer is there, so that what was sent has reached more than the router.
    for (const status of [200, 400, 401, 403, 404, 413, 415])
      expect([...wellFormed.keys()]).toContain(status);
    expect(wellFormed.get(0) ?? 0).toBeLessThan(WELL_FORMED / 100);

    release();
    client.close();
    const told = once(load, 'message');
    load.send('end');
    const [statuses] = (await told) as [Record<string, number>];
    expect(Object.keys(statuses).filter((status) => !['201', '409'].includes(status))).toEqual([]);
    expect(statuses['201']).toBeGreaterThan(0);
    // Only the load has bought goods.
    expect((await get('/inventory/usb-cable'))['onHand']).toBe(stockBefore - statuses['201']!);
    expect(await everything()).toEqual(before);
    expect((await fetch(`${url}/health/ready`)).status).toBe(200);
  }, 600_000);
});
