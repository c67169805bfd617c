import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** The sample with OpenTelemetry in two processes, and a receiver of OTLP/HTTP in this one. */
const ROOT = join(import.meta.dirname, '../..');
const BUILT = join(ROOT, 'build/telemetry/out/build/telemetry');
const MINUTE_MS = 60_000;
/** The kinds of spans in OTLP. */
const SERVER = 2;

/** A span as OTLP has it in JSON, with the name of its service. */
interface Received {
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
}

interface Batch {
  readonly resourceSpans: readonly {
    readonly resource: Pick<Received, 'attributes'>;
    readonly scopeSpans: readonly { readonly spans: readonly Omit<Received, 'service'>[] }[];
  }[];
}

interface Started {
  readonly child: ChildProcess;
  readonly url: string;
  /** The lines of its log. */
  readonly lines: Readonly<Record<string, unknown>>[];
}

const spans: Received[] = [];
const running = new Set<ChildProcess>();
let folder: string;
let endpoint: string;

/** Takes what an exporter of OTLP sends over HTTP as JSON. */
const receiver = createServer((request, response) => {
  let text = '';
  request.setEncoding('utf8').on('data', (part: string) => (text += part));
  request.on('end', () => {
    if (request.url === '/v1/traces') spans.push(...spansIn(JSON.parse(text) as Batch));
    response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
  });
});

function spansIn({ resourceSpans }: Batch): Received[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(valueOf(resource, 'service.name'));
    return scopeSpans.flatMap(({ spans: own }) => own.map((span) => ({ ...span, service })));
  });
}

function valueOf({ attributes }: Pick<Received, 'attributes'>, key: string): unknown {
  return Object.values(attributes.find((attribute) => attribute.key === key)?.value ?? {})[0];
}

beforeAll(async () => {
  const { status } = spawnSync(process.execPath, [join(ROOT, 'scripts/package/telemetry.ts')], {
    stdio: 'inherit',
  });
  expect(status).toBe(0);
  folder = mkdtempSync(join(tmpdir(), 'telemetry-'));
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  endpoint = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
}, 10 * MINUTE_MS);

afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await Promise.all([...running].map((child) => ended(child)));
  receiver.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Starts a program of the sample, as its README says. */
async function start(service: string, environment: Readonly<Record<string, string>> = {}): Promise<Started> {
  const child = fork(join(BUILT, `${service}.js`), {
    execArgv: ['--import', pathToFileURL(join(BUILT, 'telemetry.js')).href],
    env: {
      ...process.env,
      OTEL_SERVICE_NAME: service,
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      // Sooner than the five seconds of its default.
      OTEL_BSP_SCHEDULE_DELAY: '100',
      TOKEN: 'the-token-of-the-test',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  running.add(child);
  const lines: Started['lines'] = [];
  for (const input of [child.stdout!, child.stderr!])
    createInterface({ input }).on('line', (line) => {
      if (line.startsWith('{')) lines.push(JSON.parse(line) as Started['lines'][number]);
      else console.error(`${service}: ${line}`);
    });
  const [message] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [unknown];
  expect(message).toEqual({ url: expect.stringMatching(/^http:/) as unknown });
  return { child, url: (message as { url: string }).url, lines };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  running.delete(child);
}

/** The request of a customer, in a trace that began before it. */
function book(shop: Started, traceId: string, requestId: string): Promise<Response> {
  return fetch(`${shop.url}/journeys`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'X-Request-Id': requestId,
      traceparent: `00-${traceId}-${CUSTOMER}-01`,
    },
    body: JSON.stringify({ city: 'Lisbon' }),
  });
}

/** The span of the customer's browser. */
const CUSTOMER = 'c'.repeat(16);

/** @returns the span of this name in a trace, as soon as it has been received. */
async function received(name: string, traceId: string): Promise<Received> {
  const find = (): Received | undefined =>
    spans.find((span) => span.name === name && span.traceId === traceId);
  await expect.poll(find, { message: `the span "${name}"` }).toBeDefined();
  return find()!;
}

describe('The sample with OpenTelemetry', () => {
  let airline: Started;
  let shop: Started;

  const startShop = (): Promise<Started> =>
    start('shop', { AIRLINE: airline.url, LOG_FOLDER: join(folder, 'log') });

  beforeAll(async () => {
    airline = await start('airline');
    shop = await startShop();
  });

  it('shows a request as one trace, from HTTP through the coordinator to the participant in another process', async () => {
    const traceId = 'a'.repeat(32);
    expect((await book(shop, traceId, 'r-1')).status).toBe(201);
    // They end in this order. Each process sends its own.
    for (const name of ['dtc host commit', 'transaction book-journey', 'POST']) await received(name, traceId);
    const own = spans.filter((span) => span.traceId === traceId);
    const parentOf = ({ parentSpanId }: Received): string | undefined =>
      own.find(({ spanId }) => spanId === parentSpanId)?.name;
    const server = own.find(({ kind, service }) => kind === SERVER && service === 'shop')!;

    expect(server.parentSpanId).toBe(CUSTOMER);
    expect(valueOf(server, 'http.request.method') ?? valueOf(server, 'http.method')).toBe('POST');
    expect(
      own
        .filter((span) => span !== server)
        .map((span) => [span.service, span.name, parentOf(span)])
        .toSorted((one, other) => (one.join() < other.join() ? -1 : 1)),
    ).toEqual([
      ['airline', 'dtc host commit', 'commit flights'],
      ['airline', 'dtc host prepare', 'prepare flights'],
      ['airline', 'hold a seat', 'dtc host prepare'],
      ['airline', 'sell the seat', 'dtc host commit'],
      ['shop', 'commit flights', 'transaction book-journey'],
      ['shop', 'commit hotels', 'transaction book-journey'],
      ['shop', 'decision', 'transaction book-journey'],
      ['shop', 'prepare flights', 'transaction book-journey'],
      ['shop', 'prepare hotels', 'transaction book-journey'],
      ['shop', 'transaction book-journey', server.name],
    ]);
    expect(valueOf(await received('hold a seat', traceId), 'request.id')).toBe('r-1');
  });

  it('makes no span of the messages of the coordinator, which belong to no single trace', () => {
    const ofHost = spans.filter(({ service, kind }) => service === 'airline' && kind === SERVER);
    expect(ofHost.map(({ name }) => name).filter((name) => !name.startsWith('dtc host '))).toEqual([]);
  });

  it("links the recovery of a killed coordinator's transactions to the trace of their caller", async () => {
    const desk = (isOpen: boolean): Promise<Response> =>
      fetch(`${airline.url}/desk`, {
        method: 'PUT',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ isOpen }),
      });
    const traceId = 'b'.repeat(32);
    await desk(false);
    expect((await book(shop, traceId, 'r-2')).status).toBe(202);
    const transaction = await received('transaction book-journey', traceId);
    expect(airline.lines.map(({ message }) => message)).toContainEqual(
      expect.objectContaining({
        msg: 'commit failed: the desk is closed',
        participant: 'flights',
        requestId: 'r-2',
        trace_id: traceId,
      }),
    );
    shop.child.kill('SIGKILL');
    await ended(shop.child);
    const before = spans.length;
    await desk(true);

    shop = await startShop();

    const recovered = (): Received | undefined =>
      spans.slice(before).find(({ name, service }) => name === 'commit flights' && service === 'shop');
    await expect.poll(recovered).toBeDefined();
    const commit = recovered()!;
    expect(commit.links).toMatchObject([{ traceId, spanId: transaction.spanId }]);
    expect([commit.traceId === traceId, commit.parentSpanId ?? '']).toEqual([false, '']);
    const sold = await received('sell the seat', commit.traceId);
    const served = await received('dtc host commit', commit.traceId);
    expect([sold.parentSpanId, served.parentSpanId]).toEqual([served.spanId, commit.spanId]);
    expect(valueOf(sold, 'request.id')).toBe('r-2');
    const line = (): unknown =>
      shop.lines
        .map(({ message }) => message)
        .find((message) => (message as { outcome?: unknown } | undefined)?.outcome === 'committed');
    await expect.poll(line).toMatchObject({
      name: 'book-journey',
      attributes: { city: 'Lisbon' },
      requestId: 'r-2',
      trace_id: traceId,
      span_id: transaction.spanId,
    });
  });

  it('sends the spans of a shutdown before it ends', async () => {
    const traceId = 'd'.repeat(32);
    const answered = book(shop, traceId, 'r-3');
    expect((await answered).status).toBe(201);
    shop.child.kill('SIGTERM');
    await ended(shop.child);
    expect(shop.child.exitCode).toBe(0);
    expect(spans.filter((span) => span.traceId === traceId).map(({ name }) => name)).toContain(
      'transaction book-journey',
    );
  });
});
