import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { APPLICATION_OPTIONS, configureApp, createHttpAdapter } from '../../src/configure-app.js';
import { readCoordinatorConfiguration } from '../../src/coordinator-configuration.js';
import { COORDINATOR_BODY_LIMIT_BYTES, CoordinatorProgramModule } from '../../src/coordinator-program.js';

const SAMPLES = join(import.meta.dirname, '../../samples');
const HOST_TOKEN = 'the-token-of-the-coordinator';
const CALLER_TOKEN = 'the-token-of-the-shop';

const isThere = (program: string): boolean => spawnSync(program, ['--version']).status === 0;
const missing = ['python3', 'curl', 'sh'].filter((program) => program !== 'sh' && !isThere(program));
if (missing.length > 0)
  console.warn(`Left out, since ${missing.join(' and ')} is not installed: the samples in Python and shell.`);

interface Ran {
  readonly code: number;
  readonly output: string;
}

describe.skipIf(missing.length > 0)('Services without a library', () => {
  let folder: string;
  let app: NestFastifyApplication;
  let url: string;
  let python: ChildProcess;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'samples-'));
    writeFileSync(join(folder, 'token'), `${CALLER_TOKEN}\n`);
    const configuration = readCoordinatorConfiguration({
      LOG_LEVEL: 'silent',
      DECISION_LOG_PATH: join(folder, 'decisions'),
      CALLER_TOKENS: `shop:${CALLER_TOKEN}`,
      PARTICIPANT_TOKENS: 'stock:the-token-of-the-stock',
      COORDINATOR_TOKEN: HOST_TOKEN,
      PARTICIPANT_ORIGINS: 'http://127.0.0.1:1',
    });
    // The test learns the port only when Python listens.
    const remote = { ...configuration.remote!, allow: await originsOfPorts() };
    const module = await Test.createTestingModule({
      imports: [CoordinatorProgramModule.forRoot({ ...configuration, remote })],
    }).compile();
    app = configureApp(
      module.createNestApplication<NestFastifyApplication>(
        createHttpAdapter(COORDINATOR_BODY_LIMIT_BYTES),
        APPLICATION_OPTIONS,
      ),
    );
    await app.listen(0, '127.0.0.1');
    url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}/dtc`;
    python = await startPython(ports[0]!);
  });

  afterAll(async () => {
    python?.kill('SIGKILL');
    await app?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const ports: number[] = [];

  /** Two free ports, and the origins of both. */
  async function originsOfPorts(): Promise<string[]> {
    const { createServer } = await import('node:net');
    const servers = [createServer(), createServer()];
    for (const server of servers) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      ports.push((server.address() as AddressInfo).port);
    }
    await Promise.all(servers.map((server) => once(server.close(), 'close')));
    return ports.map((port) => `http://127.0.0.1:${port}`);
  }

  /** @returns when the coordinator has taken its registration. */
  async function startPython(port: number): Promise<ChildProcess> {
    const child = spawn('python3', [join(SAMPLES, 'python/stock.py')], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: {
        ...process.env,
        PORT: String(port),
        HOST_TOKEN,
        PARTICIPANT_TOKEN: 'the-token-of-the-stock',
        COORDINATOR: url,
        STOCK_FILE: join(folder, 'stock.db'),
      },
    });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    expect(line.toString().trim()).toBe('200');
    return child;
  }

  function order(sku: string, quantity: number, key = '', more: object = {}): Promise<Ran> {
    const environment = {
      ...process.env,
      COORDINATOR: url,
      CALLER_TOKEN_FILE: join(folder, 'token'),
      PAUSE: '0.05',
      ...(key !== '' && { KEY: key }),
      ...more,
    };
    return new Promise((resolve) => {
      const script = join(SAMPLES, 'shell/order.sh');
      execFile('sh', [script, sku, String(quantity)], { env: environment }, (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, output: stdout + stderr });
      });
    });
  }

  function left(): number {
    const database = new DatabaseSync(join(folder, 'stock.db'), { readOnly: true });
    try {
      return Number(database.prepare("SELECT left FROM stock WHERE sku = 'lamp'").get()!['left']);
    } finally {
      database.close();
    }
  }

  it.each(['python/stock.py', 'shell/order.sh'])('need no more than 60 lines: %s', (file) => {
    expect(readFileSync(join(SAMPLES, file), 'utf8').trimEnd().split('\n').length).toBeLessThanOrEqual(60);
  });

  it('take part: a shell script orders, and a participant in Python keeps the stock', async () => {
    const first = await order('lamp', 1, 'one-order');
    expect([first.code, first.output, left()]).toEqual([0, expect.stringContaining('"committed"'), 2]);
    // The same key again is the same order.
    expect(await order('lamp', 1, 'one-order')).toEqual(first);
    expect(left()).toBe(2);
  });

  it('order nothing again by a key of an earlier run, and tell the run with the key', async () => {
    const { logId } = (await (
      await fetch(url, { headers: { authorization: `Bearer ${CALLER_TOKEN}` } })
    ).json()) as { logId: string };
    const RUN = `${logId}.900`;
    const { code, output } = await order('lamp', 1, 'of-another-run', { RUN });
    expect([code, output, left()]).toEqual([2, expect.stringContaining(`KEY=of-another-run RUN=${RUN}.`), 2]);
    expect(output).toContain('DTC_OTHER_RUN');
  });

  it('send nothing without the run of the coordinator, or with an invalid sku', async () => {
    const requests: string[] = [];
    const { createServer } = await import('node:http');
    const page = createServer((request, response) => {
      requests.push(`${request.method} ${request.url}`);
      response.end('{}');
    });
    await once(page.listen(0, '127.0.0.1'), 'listening');
    const COORDINATOR = `http://127.0.0.1:${(page.address() as AddressInfo).port}/dtc`;
    const nameless = await order('lamp', 1, 'no-run', { COORDINATOR });
    expect([nameless.code, nameless.output]).toEqual([1, expect.stringContaining('Nothing was sent')]);
    const quoted = await order('a","b":"c', 1, 'quoted', { COORDINATOR, RUN: 'aaaaaaaaaaaa.1' });
    expect([quoted.code, quoted.output]).toEqual([1, expect.stringContaining('Nothing was sent')]);
    const several = await order('lamp', 'some' as never, 'several', { COORDINATOR, RUN: 'aaaaaaaaaaaa.1' });
    expect([several.code, several.output]).toEqual([1, expect.stringContaining('Usage: order.sh')]);
    expect(requests).toEqual(['GET /dtc']);
    page.closeAllConnections();
    await once(page.close(), 'close');
  });

  it('print a refusal, and nothing has changed', async () => {
    const { code, output } = await order('lamp', 50);
    expect([code, output, left()]).toEqual([1, expect.stringContaining('OUT_OF_STOCK'), 2]);
    expect((await order('lamp', -1)).output).toContain('BAD_PAYLOAD');
  });

  it('go on after the participant was killed and has moved to another port', async () => {
    python.kill('SIGKILL');
    await once(python, 'close');
    python = await startPython(ports[1]!);
    expect((await order('lamp', 2)).code).toBe(0);
    expect(left()).toBe(0);
  });

  it('are refused without the token of the coordinator', async () => {
    const response = await fetch(`http://127.0.0.1:${ports[1]}/calls`, {
      method: 'POST',
      headers: { authorization: 'Bearer of-a-stranger-123' },
      body: '{}',
    });
    expect(response.status).toBe(401);
    const stranger = await fetch(`${url}/participants/stock`, {
      method: 'PUT',
      headers: { authorization: 'Bearer the-token-of-the-stock', 'content-type': 'application/json' },
      body: JSON.stringify({ address: 'http://169.254.169.254/latest' }),
    });
    expect([stranger.status, await stranger.json()]).toEqual([
      403,
      expect.objectContaining({ code: 'DTC_ADDRESS_REFUSED' }),
    ]);
  });
});
