import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { noteAfter, noteBefore } from '../../scripts/start/build-state.ts';
import { RestAtClient } from '../rest-at/client.js';
import { ParticipantServer } from '../rest-at/participants.js';
import { BuiltApplication, listening } from '../support/built-application.js';

const ROOT = join(import.meta.dirname, '../..');
const ORDER = { customerId: 'alice', items: [{ sku: 'keyboard', quantity: 1 }] };

function send(url: string, method: string, body: object): Promise<Response> {
  return fetch(url, { method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
}

/** @returns once a transaction is in flight. */
async function inFlight(url: string): Promise<void> {
  for (let count = 0; count === 0;) {
    const listed = (await (await fetch(`${url}/transactions`)).json()) as { transactions: unknown[] };
    count = listed.transactions.length;
  }
}

/** @returns the folder of a project that is built already, with the scripts of this one. */
function projectOf(application: BuiltApplication): string {
  const project = `${application.folder}-project`;
  for (const file of ['package.json', 'scripts/start']) {
    cpSync(join(ROOT, file), join(project, file), { recursive: true });
  }
  noteBefore(project);
  cpSync(application.folder, join(project, 'dist'), { recursive: true });
  mkdirSync(join(project, 'dist/dashboard'), { recursive: true });
  writeFileSync(join(project, 'dist/dashboard/index.html'), '');
  noteAfter(project);
  return project;
}

describe('The process', () => {
  let application: BuiltApplication;

  beforeAll(() => {
    application = BuiltApplication.build('e2e');
  });

  afterAll(() => application.remove());

  it('fault 51: finishes the running order when it gets SIGTERM twice, and ends with code 0', async () => {
    const { child, ended } = application.start({ PORT: '0', DEMO: 'true' });
    const url = await listening(child);
    await send(`${url}/demo/faults/payment`, 'PUT', { method: 'prepare', fault: 'slow', delayMs: 500 });
    const order = send(`${url}/orders`, 'POST', ORDER);
    await inFlight(url);

    child.kill('SIGTERM');
    // Readiness shows that the first signal has arrived, so that the second is not merged with it.
    while ((await fetch(`${url}/health/ready`)).status !== 503);
    child.kill('SIGTERM');

    expect((await order).status).toBe(201);
    expect(await ended).toEqual({ code: 0, stderr: '' });
  });

  it('starts a coordinator without orders, which runs transactions of callers and ends with code 0', async () => {
    const folder = `${application.folder}-decisions`;
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const environment = { PORT: '0', DECISION_LOG_PATH: folder, CALLER_TOKENS: 'shop:the-token-of-the-shop' };
    const { child, ended } = application.start(environment, 'pipe', 'main-coordinator.js');
    const url = await listening(child);
    const headers = { authorization: 'Bearer the-token-of-the-shop', 'idempotency-key': 'one' };
    const run = await fetch(`${url}/dtc/run`, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/json' },
      body: JSON.stringify({ branches: [] }),
    });
    expect(await run.json()).toMatchObject({ status: 'committed' });
    const statuses = ['/health/ready', '/metrics', '/coordinator', '/openapi.json', '/orders/x'].map(
      async (path) => (await fetch(url + path)).status,
    );
    expect(await Promise.all(statuses)).toEqual([200, 200, 200, 200, 404]);

    child.kill('SIGTERM');
    expect(await ended).toEqual({ code: 0, stderr: '' });
  });

  it('fault 49: a killed coordinator delivers its decisions over REST-AT at the next start, also to a participant that has moved', async () => {
    const folder = `${application.folder}-rest-at`;
    const participants = await ParticipantServer.start();
    onTestFinished(async () => {
      await participants.close();
      rmSync(folder, { recursive: true, force: true });
    });
    const environment = {
      PORT: '0',
      DECISION_LOG_PATH: folder,
      REST_AT: 'open',
      REST_AT_ORIGINS: participants.origin,
      DTC_COMPLETION_WAIT_MS: '50',
      DTC_RECOVERY_INTERVAL_MS: '50',
    };
    const start = async () => {
      const started = application.start(environment, 'pipe', 'main-coordinator.js');
      const url = await listening(started.child);
      return { ...started, client: new RestAtClient(`${url}/rest-at-coordinator/tx`) };
    };
    const first = await start();
    const busy = ['aware', 'unaware'] as const;
    const [stays, leaves] = busy.map((kind) => participants.add(kind, { commit: [503] }));
    const begun = await first.client.begin();
    const open = await first.client.enlist(await first.client.begin(), participants.add());
    await first.client.enlist(begun, stays!);
    const recovery = await first.client.enlist(begun, leaves!);
    expect((await first.client.commit(begun)).text).toBe('txstatus=TransactionCommitting');
    const moved = participants.add('unaware', { commit: [503] });
    expect((await first.client.send('PUT', recovery, { link: moved.link })).code).toBe(200);
    first.child.kill('SIGKILL');
    await first.ended;

    const former = leaves!.count('commit');
    const { client, child, ended } = await start();
    const here = (url: string): string => url.replace(first.client.base, client.base);
    expect((await client.send('GET', here(recovery))).links['commit']).toBe(`${moved.url}/commit`);
    expect((await client.send('GET', here(open))).code).toBe(404);
    for (const participant of [stays!, moved]) participant.script = {};
    await expect
      .poll(() => client.status({ ...begun, url: here(begun.url) }))
      .toBe('410 txstatus=TransactionCommitted');
    expect([stays!.orders().at(-1), moved.orders().at(-1), leaves!.count('commit')]).toEqual([
      'commit',
      'commit',
      former,
    ]);
    child.kill('SIGTERM');
    expect(await ended).toEqual({ code: 0, stderr: '' });
  });

  it('fault 51: finishes the running order when npm gets SIGTERM, with any shell between npm and the application', async () => {
    const project = projectOf(application);
    onTestFinished(() => rmSync(project, { recursive: true }));
    const npm = spawn('npm', ['run', '--silent', 'start:demo'], {
      cwd: project,
      env: { ...process.env, PORT: '0' },
      shell: process.platform === 'win32',
    });
    // The pipes are closed when the application has ended too.
    const ended = once(npm, 'close');
    const url = await listening(npm);
    await send(`${url}/demo/faults/payment`, 'PUT', { method: 'prepare', fault: 'slow', delayMs: 1_000 });
    const order = send(`${url}/orders`, 'POST', ORDER);
    await inFlight(url);

    npm.kill('SIGTERM');

    expect((await order).status).toBe(201);
    await ended;
  });

  it('logs no module and no route at its start, but its addresses and the place of decisions', async () => {
    const { child, ended } = application.start({ PORT: '0' });
    const messages: string[] = [];
    for await (const line of createInterface({ input: child.stdout! })) {
      messages.push((JSON.parse(line) as { msg: string }).msg);
      if (line.includes('Decisions are kept')) break;
    }
    child.kill('SIGTERM');

    expect(messages.slice(-2)).toEqual([
      expect.stringMatching(/^Listening on http:.*, documentation at \/docs, dashboard at \/dashboard$/),
      expect.stringMatching(/^Decisions are kept in memory/),
    ]);
    expect(messages.slice(0, -2).filter((text) => !text.startsWith('Participant "'))).toEqual([]);
    expect(await ended).toEqual({ code: 0, stderr: '' });
  });

  it.runIf(existsSync('/usr/bin/script'))('is announced in a few lines of text at a terminal', async () => {
    const command = `"${process.execPath}" "${join(application.folder, 'main.js')}"`;
    const terminal = spawn('script', ['-qec', command, '/dev/null'], { env: { ...process.env, PORT: '0' } });
    onTestFinished(() => void terminal.kill('SIGKILL'));
    const lines: string[] = [];
    for await (const line of createInterface({ input: terminal.stdout })) {
      lines.push(line);
      if (line.includes('To stop')) break;
    }

    expect(lines.filter((line) => line.startsWith('{'))).toEqual([]);
    expect(lines.length).toBeLessThan(15);
    expect(lines.join('\n')).toMatch(/Dashboard +http:[^]*Decisions +in memory/);
  });

  it('starts beside a Kubernetes Service of the same name, and says what to do about it', async () => {
    const { child, ended } = application.start({ PORT: '0', DTC_PORT: 'tcp://10.96.0.7:3000' });
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout! })) {
      lines.push(line);
      if (line.includes('Listening on')) break;
    }
    child.kill('SIGTERM');

    expect(lines.filter((line) => line.includes('"level":40'))).toEqual([
      expect.stringMatching(/DTC_PORT\b.*enableServiceLinks: false/),
    ]);
    expect(await ended).toEqual({ code: 0, stderr: '' });
  });

  it('exports the metrics of its process, and answers in the pause of a shutdown while readiness is red', async () => {
    const { child, ended } = application.start({ PORT: '0', DTC_SHUTDOWN_PAUSE_MS: '1500' });
    const url = await listening(child);
    expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/^process_start_time_seconds \d/m);

    child.kill('SIGTERM');
    await expect.poll(async () => (await fetch(`${url}/health/ready`)).status).toBe(503);
    expect((await send(`${url}/orders`, 'POST', ORDER)).status).toBe(201);

    expect(await ended).toEqual({ code: 0, stderr: '' });
    await expect(fetch(url)).rejects.toThrow('fetch failed');
  });

  it('reports in one line that its port is in use, and ends with code 1', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;

    const { child, ended } = application.start({ PORT: String(port) });
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout! })) lines.push(line);
    const { code, stderr } = await ended;

    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ level: 60, code: 'EADDRINUSE', msg: stderr.trim() });
    expect(stderr).toMatch(
      new RegExp(
        `^The application did not start: port ${port} of 127.0.0.1 is in use \\(EADDRINUSE\\)\\..*\\n$`,
      ),
    );
    expect(code).toBe(1);
    other.close();
  });

  it('reports in one line the problems of its environment, and ends with code 1', async () => {
    const { child, ended } = application.start({ PORT: '0', DTC_TIMEOUT_MS: 'soon', DTC_TIMEOUT: '5' });
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout! })) lines.push(line);
    const { code, stderr } = await ended;

    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({ level: 60, code: 'DTC_INVALID_OPTIONS', msg: stderr.trim() }),
    ]);

    expect(stderr).toMatch(/^The application did not start: [^\n]*\n$/);
    expect(stderr).toContain('DTC_TIMEOUT is not known');
    expect(stderr).toContain('DTC_TIMEOUT_MS: ');
    expect(code).toBe(1);
  });
});
