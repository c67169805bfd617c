import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/**
 * Starts the shop as a user does, asks for its health and its pages, places an order and one that is refused, and stops the shop:
 *
 *     npm run test:start -- [start | start:postgres]
 *
 * It runs on Linux, macOS and Windows. Exit code 1: an answer was not the expected one, or a step took too long.
 */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** A start may have to build, and PostgreSQL may have to create its first cluster. */
const LIMIT_MS = 300_000;

const [script = 'start'] = process.argv.slice(2);
const npm = process.env['npm_execpath'];
if (npm === undefined) throw new Error('npm runs this: npm run test:start');

const child = spawn(process.execPath, [npm, 'run', script], {
  cwd: ROOT,
  env: { ...process.env, PORT: '0' },
  stdio: ['ignore', 'pipe', 'inherit'],
});
const ended = once(child, 'close');
const limit = setTimeout(() => fail(`it did not end within ${LIMIT_MS / 1_000} s`), LIMIT_MS);
try {
  const url = await Promise.race([listening(child), ended.then(() => undefined)]);
  if (url === undefined) throw new Error('it ended before it listened');
  await check(url);
  end(child);
  await ended;
} catch (error) {
  fail((error as Error).message);
}
clearTimeout(limit);
console.log(
  `npm run ${script}: health, pages, an order and a refusal are as they should be, and it has ended`,
);

/** @returns the address on which the shop says that it listens. */
async function listening({ stdout }: ChildProcess): Promise<string | undefined> {
  for await (const line of createInterface({ input: stdout! })) {
    const [, url] = /Listening on (http:\/\/[^,]+),/.exec(line) ?? [];
    if (url !== undefined) {
      stdout!.resume();
      return url;
    }
  }
  return undefined;
}

async function check(url: string): Promise<void> {
  for (const path of ['/health/live', '/health/ready', '/docs', '/dashboard/', '/openapi.json']) {
    await answerOf(url, 'GET', path, 200);
  }
  const { orderId, status } = (await answerOf(url, 'POST', '/orders', 201, orderOf(1))) as Record<
    string,
    string
  >;
  if (status !== 'confirmed') throw new Error(`the order is ${status}`);
  await answerOf(url, 'GET', `/orders/${orderId}`, 200);
  const { code } = (await answerOf(url, 'POST', '/orders', 409, orderOf(1_000))) as Record<string, string>;
  if (code !== 'DTC_REFUSED') throw new Error(`the other order is answered with ${code}`);
}

function orderOf(quantity: number): object {
  return { customerId: 'alice', items: [{ sku: 'keyboard', quantity }] };
}

/** @throws Error when the answer has another status. */
async function answerOf(
  url: string,
  method: string,
  path: string,
  status: number,
  body?: object,
): Promise<unknown> {
  const response = await fetch(`${url}${path}`, {
    method,
    ...(body !== undefined && {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  });
  const text = await response.text();
  if (response.status !== status)
    throw new Error(`${method} ${path} is answered with ${response.status}: ${text}`);
  return response.headers.get('content-type')?.includes('json') === true ? JSON.parse(text) : text;
}

/**
 * npm passes the signal on. Windows has none that a program can answer: there all processes below npm are
 * ended.
 */
function end({ pid }: ChildProcess): void {
  if (process.platform === 'win32')
    spawnSync('taskkill', ['/pid', String(pid), '/t', '/f'], { stdio: 'ignore' });
  else child.kill('SIGTERM');
}

function fail(reason: string): never {
  console.error(`npm run ${script}: ${reason}`);
  end(child);
  process.exit(1);
}
