import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BuiltApplication, listening } from '../support/built-application.js';

describe('The process', () => {
  let application: BuiltApplication;

  beforeAll(() => {
    application = BuiltApplication.build('e2e');
  });

  afterAll(() => application.remove());

  it('fault 51: finishes the order at work when it gets SIGTERM, and ends with code 0', async () => {
    const { child, ended } = application.start({ PORT: '0', DEMO: 'true' });
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

  it('starts beside a Service of Kubernetes with its name, and says what to do about it', async () => {
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

  it('says in one line that its port is in use, and ends with code 1', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;

    const { code, stderr } = await application.start({ PORT: String(port) }).ended;

    expect(stderr).toMatch(
      new RegExp(`^The application did not start: port ${port} of 127.0.0.1 is in use\\..*\\n$`),
    );
    expect(code).toBe(1);
    other.close();
  });

  it('says in one line what is wrong with its environment, and ends with code 1', async () => {
    const { code, stderr } = await application.start({ PORT: '0', DTC_TIMEOUT_MS: 'soon', DTC_TIMEOUT: '5' })
      .ended;

    expect(stderr).toMatch(/^The application did not start: [^\n]*\n$/);
    expect(stderr).toContain('DTC_TIMEOUT is not known');
    expect(stderr).toContain('DTC_TIMEOUT_MS: ');
    expect(code).toBe(1);
  });
});
