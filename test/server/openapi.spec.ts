import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestServer } from './support.js';

/** Every route of the interface for callers and participants. */
const ROUTES = [
  'delete /dtc/participants/{name}',
  'get /dtc',
  'get /dtc/participants',
  'get /dtc/transactions/{id}',
  'get /dtc/transactions/{id}/decision',
  'post /dtc/run',
  'post /dtc/transactions',
  'post /dtc/transactions/{id}/branches',
  'post /dtc/transactions/{id}/commit',
  'post /dtc/transactions/{id}/rollback',
  'post /dtc/transactions/{id}/rollback-only',
  'put /dtc/participants/{name}',
];

interface Operation {
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly security?: readonly object[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, object>> }>>;
}

describe('The OpenAPI document of the interface for callers', () => {
  let server: TestServer;
  let text: string;
  let schemas: readonly string[];
  let operations: Record<string, Operation>;

  beforeAll(async () => {
    server = await TestServer.start();
    const document = SwaggerModule.createDocument(server.app, new DocumentBuilder().addBearerAuth().build());
    text = JSON.stringify(document);
    schemas = Object.keys(document.components!.schemas!);
    operations = Object.fromEntries(
      Object.entries(document.paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, operation]) => [`${method} ${path}`, operation as Operation]),
      ),
    );
  });
  afterAll(() => server.close());

  it('has every route, and each that it has is answered', async () => {
    expect(Object.keys(operations).toSorted()).toEqual(ROUTES);
    for (const route of ROUTES) {
      const [method, path] = route.split(' ') as [string, string];
      const asked = path.replace('/dtc', '').replace(/\{\w+\}/, 'x');
      const { status } = await server.ask(method.toUpperCase(), asked, { token: undefined });
      expect([route, status]).toEqual([route, 401]);
    }
  });

  it('says of every route what it does, how it is secured, and its answers', () => {
    for (const [route, { summary, tags, security, responses }] of Object.entries(operations)) {
      const problems = Object.entries(responses).filter(([status]) => status >= '400');
      expect([route, Boolean(summary), tags?.length, security?.length]).toEqual([route, true, 1, 1]);
      expect(problems.map(([status]) => status)).toEqual(expect.arrayContaining(['401', '403']));
      for (const [, { content }] of problems)
        expect([route, Object.keys(content!)]).toEqual([route, ['application/problem+json']]);
    }
  });

  it('is made from the schemas that requests are checked against', async () => {
    expect(schemas).toEqual(
      expect.arrayContaining(['RunTransaction', 'EnlistBranch', 'Outcome', 'Decision']),
    );
    const references = [...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name]) => name,
    );
    expect(schemas).toEqual(expect.arrayContaining([...new Set(references)]));
    const { status, body } = await server.ask('POST', '/run', { key: 'k', body: { branches: [], extra: 1 } });
    expect([status, body.code]).toEqual([400, 'DTC_BAD_REQUEST']);
  });
});
