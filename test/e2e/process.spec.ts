import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
// Inside the project, so that the packages are found from there.
const BUILD = join(ROOT, 'build', `e2e-${process.pid}`);

interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

describe('The process', () => {
  const children: ChildProcess[] = [];

  beforeAll(() => {
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const options = ['-p', 'tsconfig.build.json', '--outDir', BUILD, '--declaration', 'false', '--noCheck'];
    const { status, stdout } = spawnSync(process.execPath, [tsc, ...options], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`The application was not built: ${stdout}`);
  });

  afterAll(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(BUILD, { recursive: true, force: true });
  });

  function start(environment: NodeJS.ProcessEnv): { child: ChildProcess; ended: Promise<Ended> } {
    const child = spawn(process.execPath, [join(BUILD, 'main.js')], { env: { ...environment } });
    children.push(child);
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stderr }));
    return { child, ended };
  }

  /** @returns where the application says that it listens. */
  async function listening(child: ChildProcess): Promise<string> {
    for await (const line of createInterface({ input: child.stdout! })) {
      const [url] = /http:\/\/[\d.:]+/.exec((JSON.parse(line) as { msg: string }).msg) ?? [];
      if (url !== undefined) return url;
    }
    throw new Error('The application ended before it listened.');
  }

  it('fault 51: finishes the order at work when it gets SIGTERM, and ends with code 0', async () => {
    const { child, ended } = start({ PORT: '0', DEMO: 'true' });
    const url = await listening(child);
    const send = (path: string, method: string, body: object): Promise<Response> =>
      fetch(url + path, {
        method,
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      });
    await send('/demo/faults/payment', 'PUT', { method: 'prepare', fault: 'slow', delayMs: 500 });
    const order = send('/orders', 'POST', { customerId: 'alice', items: [{ sku: 'keyboard', quantity: 1 }] });
    let inFlight = 0;
    while (inFlight === 0) {
      const listed = (await (await fetch(`${url}/transactions`)).json()) as { transactions: unknown[] };
      inFlight = listed.transactions.length;
    }

    child.kill('SIGTERM');

    expect((await order).status).toBe(201);
    expect(await ended).toEqual({ code: 0, stderr: '' });
  });

  it('says in one line that its port is in use, and ends with code 1', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;

    const { code, stderr } = await start({ PORT: String(port) }).ended;

    expect(stderr).toMatch(
      new RegExp(`^The application did not start: port ${port} of 127.0.0.1 is in use\\..*\\n$`),
    );
    expect(code).toBe(1);
    other.close();
  });

  it('says in one line what is wrong with its environment, and ends with code 1', async () => {
    const { code, stderr } = await start({ PORT: '0', DTC_TIMEOUT_MS: 'soon', DTC_TIMEOUT: '5' }).ended;

    expect(stderr).toMatch(/^The application did not start: [^\n]*\n$/);
    expect(stderr).toContain('DTC_TIMEOUT is not known');
    expect(stderr).toContain('DTC_TIMEOUT_MS: ');
    expect(code).toBe(1);
  });
});
