import type { Random } from '../simulation/random.js';

/** One request that is well-formed HTTP, and nothing else about it need be. */
export interface HostileRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: string | undefined;
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD', 'TRACE', 'PROPFIND'] as const;

/** The parts of which ids, names and filters are made here. */
const FRAGMENTS = [
  '',
  '.',
  '..',
  '%2e%2e%2f',
  '../../etc/passwd',
  '%00',
  '%',
  '%zz',
  '%ff%fe',
  '%0d%0aSet-Cookie:%20a=b',
  "'%20OR%201=1--",
  '%24%7Bjndi:x%7D',
  '__proto__',
  'constructor',
  'toString',
  'null',
  'undefined',
  'NaN',
  '-1',
  '0',
  '1e308',
  '99999999999999999999',
  'coordinator.1.1',
  'coordinator.zzzzzzzz.1',
  'a'.repeat(500),
  '%F0%9F%92%A9',
  '<script>',
  '{"a":1}',
  'alice',
  'keyboard',
  'payment',
] as const;

const QUERY_NAMES = [
  'state',
  'stalled',
  'heuristic',
  'inDoubt',
  'participant',
  'name',
  'search',
  'cause',
  'startedAfter',
  'startedBefore',
  'minAgeMs',
  'maxAgeMs',
  'order',
  'limit',
  'cursor',
  '__proto__',
  'constructor[prototype]',
  'state[]',
  'limit[$gt]',
] as const;

const ROUTES = [
  '/orders',
  '/orders/{}',
  '/inventory/{}',
  '/accounts/{}',
  '/transactions',
  '/transactions/{}',
  '/transactions/{}/abort',
  '/transactions/{}/forget',
  '/transactions/{}/branches/{}/retry',
  '/transactions/{}/branches/{}/resolve',
  '/transactions/{}/branches/{}/forget',
  '/participants',
  '/participants/{}/pause',
  '/participants/{}/resume',
  '/outboxes',
  '/outboxes/{}/dead',
  '/outboxes/{}/dead/{}',
  '/outboxes/{}/resend',
  '/outboxes/{}/discard',
  '/coordinator',
  '/coordinator/drain',
  '/coordinator/undrain',
  '/audit',
  '/access',
  '/metrics',
  '/dashboard',
  '/dashboard/{}',
  '/dashboard/assets/{}',
  '/docs/{}',
  '/openapi.json',
  '/health/live',
  '/health/{}',
  '/demo/faults/{}',
  '/{}',
  '/{}/{}',
] as const;

const CONTENT_TYPES = [
  'application/json',
  'application/json; charset=utf-7',
  'application/json;charset=',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/problem+json',
  '',
  ';',
  'application/jso\u00ffn',
] as const;

/** Values where others are due. */
const VALUES: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  '',
  ' ',
  'alice',
  'keyboard',
  '\u0000',
  '\ud800',
  '\u202e\u2066',
  'x'.repeat(2_000),
  [],
  {},
  [[[[[]]]]],
  { $ne: null },
];

const AUTHORIZATIONS = [
  'Bearer',
  'Bearer ',
  'Bearer undefined',
  'Bearer null',
  `Bearer ${'x'.repeat(4_000)}`,
  'Basic YWRtaW46YWRtaW4=',
  'Bearer a b',
  'Token 1',
] as const;

/** Makes requests that no sane client sends. The same seed makes the same ones. */
export class HostileRequests {
  /** @param tokens that are known, so that what is behind them is reached as well. No body asks for what may be done. */
  constructor(
    private readonly random: Random,
    private readonly tokens: readonly string[],
  ) {}

  next(): HostileRequest {
    const { random } = this;
    const path = random.pick(ROUTES).replaceAll('{}', () => this.fragment()) + this.query();
    const method = random.chance(0.8) ? random.pick(['GET', 'POST'] as const) : random.pick(METHODS);
    const body = method === 'GET' || method === 'HEAD' || method === 'TRACE' ? undefined : this.body();
    return { method, path: path.replaceAll(/[^!-~]/g, encodeURIComponent), headers: this.headers(), body };
  }

  private fragment(): string {
    const { random } = this;
    return random.chance(0.9) ? random.pick(FRAGMENTS) : random.pick(FRAGMENTS) + random.pick(FRAGMENTS);
  }

  private query(): string {
    const { random } = this;
    if (random.chance(0.6)) return '';
    const part = (): string => `${random.pick(QUERY_NAMES)}=${this.fragment()}`;
    return `?${Array.from({ length: random.whole(1, 4) }, part).join('&')}`;
  }

  private headers(): Record<string, string | readonly string[]> {
    const { random } = this;
    const headers: Record<string, string | readonly string[]> = {};
    if (random.chance(0.9))
      headers['content-type'] = random.chance(0.7) ? 'application/json' : random.pick(CONTENT_TYPES);
    if (random.chance(0.5)) headers['authorization'] = `Bearer ${random.pick(this.tokens)}`;
    else if (random.chance(0.4)) headers['authorization'] = random.pick(AUTHORIZATIONS);
    if (random.chance(0.2))
      headers['idempotency-key'] = random.pick(['', 'k', 'k'.repeat(300), '\u00ff', 'a,b', '"']);
    if (random.chance(0.1)) headers['x-forwarded-for'] = 'x'.repeat(random.whole(1, 6_000));
    if (random.chance(0.05)) headers['cookie'] = Array.from({ length: 50 }, () => 'a=b');
    if (random.chance(0.1)) headers['accept'] = random.pick(['text/html', '*/*;q=0', '', 'application/xml']);
    if (random.chance(0.05)) headers['transfer-encoding'] = 'chunked';
    if (random.chance(0.05)) headers['expect'] = '100-continue';
    return headers;
  }

  private body(): string {
    const { random } = this;
    const kind = random.whole(0, 9);
    if (kind === 0) return '';
    if (kind === 1)
      return random.pick(['{', '[', '{"a":', 'null', '1', '"x"', 'NaN', '{"a":1}}', '\u0000', '\ufeff{}']);
    if (kind === 2) return '['.repeat(random.whole(10, 8_000));
    if (kind === 3) return `{"customerId":"${'a'.repeat(random.whole(100, 20_000))}"}`;
    if (kind === 4)
      return '{"customerId":"alice","customerId":"bob","items":[],"items":null,"__proto__":{"items":[]}}';
    if (kind === 5)
      return JSON.stringify({ reason: random.pick(VALUES.filter(isNoReason)), as: random.pick(VALUES) });
    return JSON.stringify(this.order());
  }

  /** Nearly an order: never one that could be placed. */
  private order(): unknown {
    const { random } = this;
    const item = { sku: random.pick(VALUES), quantity: random.pick(VALUES), price: 0 };
    return {
      customerId: random.pick(VALUES),
      items: random.chance(0.5)
        ? random.pick(VALUES)
        : Array.from({ length: random.whole(1, 60) }, () => item),
      [random.pick(['__proto__', 'total', 'constructor', 'toJSON'])]: random.pick(VALUES),
    };
  }
}

/** Values that an operator cannot give as a reason. */
function isNoReason(value: unknown): boolean {
  return typeof value !== 'string' || value.trim() === '' || value.length > 300;
}

/** Input that is not HTTP, or only the start of it. Each gets a connection of its own. */
export const MALFORMED: readonly string[] = [
  '\r\n\r\n',
  'GET\r\n\r\n',
  'GET / HTTP/9.9\r\nHost: x\r\n\r\n',
  'GET / HTTP/1.1\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n',
  'GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n',
  'GET //evil.example/%5c%2e%2e HTTP/1.1\r\nHost: x\r\n\r\n',
  'BREW /coffee HTTP/1.1\r\nHost: x\r\n\r\n',
  'CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n',
  'GET /transactions HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n',
  'GET /transactions HTTP/1.1\r\nHost: x\r\n Folded: y\r\n\r\n',
  'GET /transactions HTTP/1.1\r\nHost: x\r\nA\u0000: b\r\n\r\n',
  `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
  `GET / HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(3_000)}\r\n`,
  `GET / HTTP/1.1\r\nHost: x\r\nA: ${'b'.repeat(20_000)}\r\n\r\n`,
  'POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345',
  'POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}',
  'POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n{}',
  'POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'POST /orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
  'POST /orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n{}\r\n0\r\n\r\n',
  'POST /orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nffffffff\r\n{}',
  'POST /orders HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003',
  '\u0000'.repeat(1_000),
];

/** The start of a request whose rest never comes. */
export const UNFINISHED: readonly string[] = [
  'POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n{"customerId":"alice"',
  'POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"cus',
  'GET /transactions HTTP/1.1\r\nHost: x\r\nA: ',
];
