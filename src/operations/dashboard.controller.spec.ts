import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, type Socket, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { INestApplication, ModuleMetadata } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import request, { type Response } from 'supertest';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DASHBOARD_FOLDER, DashboardController } from './dashboard.controller.js';
import { Reply } from './reply.js';

let workshop: string;
let folder: string;

beforeAll(async () => {
  workshop = await mkdtemp(join(tmpdir(), 'dashboard-'));
  folder = join(workshop, 'built');
  await mkdir(join(folder, 'assets'), { recursive: true });
  await writeFile(join(folder, 'index.html'), '<!doctype html><title>Dashboard</title>');
  await writeFile(join(folder, 'assets/index-1a2b.js'), 'export {};');
  await writeFile(join(folder, 'assets/index-3c4d.css'), 'body {}');
  await writeFile(join(folder, 'icon.svg'), '<svg/>');
  await writeFile(join(folder, '.env'), 'TOKEN=secret');
  await writeFile(join(workshop, 'secret.html'), 'secret');
});
afterAll(() => rm(workshop, { recursive: true, force: true }));

async function start(
  providers: ModuleMetadata['providers'] = [],
  prefix = '',
  adapter = new FastifyAdapter(),
): Promise<INestApplication> {
  const module = await Test.createTestingModule({
    controllers: [DashboardController],
    providers: [Reply, ...providers],
  }).compile();
  const app = module.createNestApplication(adapter);
  app.setGlobalPrefix(prefix);
  await app.listen(0, '127.0.0.1');
  return app;
}

describe('the dashboard, once built', () => {
  let app: INestApplication;

  beforeEach(async () => {
    app = await start([{ provide: DASHBOARD_FOLDER, useValue: folder }]);
  });
  afterEach(() => app.close());

  function get(path: string): Promise<Response> {
    return Promise.resolve(request(app.getHttpServer() as string).get(path));
  }

  it('is an index that browsers request again each time', async () => {
    const answer = await get('/dashboard');
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('<title>Dashboard</title>');
    expect(answer.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-length': '39',
      'cache-control': 'no-cache',
    });
  });

  it('has one address, even if the platform ignores a trailing slash', async () => {
    const lenient = new FastifyAdapter({ routerOptions: { ignoreTrailingSlash: true } });
    const other = await start([{ provide: DASHBOARD_FOLDER, useValue: folder }], '', lenient);
    try {
      const answer = await request(other.getHttpServer() as string).get('/dashboard/?a=b');
      expect(answer.status).toBe(307);
      expect(answer.headers['location']).toBe('../dashboard');
    } finally {
      await other.close();
    }
  });

  it.each([
    ['assets/index-1a2b.js', 'text/javascript; charset=utf-8'],
    ['assets/index-3c4d.css', 'text/css; charset=utf-8'],
  ])('lets browsers cache %s permanently, with its type', async (name, type) => {
    const { status, headers } = await get(`/dashboard/${name}`);
    expect(status).toBe(200);
    expect(headers['content-type']).toBe(type);
    expect(headers['cache-control']).toBe('public, max-age=31536000, immutable');
  });

  it('has an icon', async () => {
    const { headers } = await get('/dashboard/icon.svg');
    expect(headers).toMatchObject({
      'content-type': 'image/svg+xml; charset=utf-8',
      'cache-control': 'no-cache',
    });
  });

  it.each(['/dashboard', '/dashboard/assets/index-1a2b.js'])(
    'lets %s run and request nothing of another origin',
    async (path) => {
      const { headers } = await get(path);
      expect(headers['content-security-policy']!.split('; ').toSorted()).toEqual([
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
      ]);
      expect(headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
      });
    },
  );

  it('answers an unknown file with a problem', async () => {
    const answer = await get('/dashboard/assets/other.js');
    expect(answer.status).toBe(404);
    expect(answer.headers['content-type']).toMatch('application/problem+json');
    expect(answer.body).toMatchObject({ code: 'DTC_NOT_FOUND', detail: 'The dashboard has no such file.' });
  });

  it.each([
    '/dashboard/.env',
    '/dashboard/../secret.html',
    '/dashboard/%2e%2e/secret.html',
    '/dashboard/..%2fsecret.html',
    '/dashboard/..%5csecret.html',
    '/dashboard/assets/../../secret.html',
    '/dashboard//etc/passwd',
    '/dashboard/index.html%00.js',
    '/dashboard/constructor',
    '/dashboard/%',
  ])('does not send the file behind %s', async (path) => {
    const answer = await rawGet(app, path);
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(answer.split('\r\n\r\n')[1]).not.toMatch(/^secret|TOKEN/);
  });

  it('works under the prefix of an application', async () => {
    const prefixed = await start([{ provide: DASHBOARD_FOLDER, useValue: folder }], 'ops');
    try {
      const answer = await request(prefixed.getHttpServer() as string).get('/ops/dashboard');
      expect(answer.status).toBe(200);
    } finally {
      await prefixed.close();
    }
  });
});

describe('the dashboard, not built', () => {
  it.each(['/dashboard', '/dashboard/assets/index-1a2b.js'])('tells at %s how to build it', async (path) => {
    const app = await start([{ provide: DASHBOARD_FOLDER, useValue: join(workshop, 'nothing') }]);
    try {
      const answer = await request(app.getHttpServer() as string).get(path);
      expect(answer.status).toBe(404);
      expect((answer.body as { detail: string }).detail).toContain('npm run build');
    } finally {
      await app.close();
    }
  });

  it('does not prevent the start of an application that does not configure it', async () => {
    const app = await start();
    try {
      const answer = await request(app.getHttpServer() as string).get('/dashboard');
      expect(answer.headers['content-type']).toMatch('application/problem+json');
    } finally {
      await app.close();
    }
  });
});

/** Clients normalise paths before they send them; this one does not. */
async function rawGet(app: INestApplication, path: string): Promise<string> {
  const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
  const socket: Socket = connect(port, '127.0.0.1');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`);
  return text(socket);
}
