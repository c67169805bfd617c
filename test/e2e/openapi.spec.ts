import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApplication } from '../support/application.js';

interface Operation {
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, object>>;
    readonly securitySchemes?: Readonly<Record<string, object>>;
  };
}

const ROUTES = [
  'delete /demo/faults/{participant}',
  'delete /demo/load',
  'get /access',
  'get /accounts/{customerId}',
  'get /attention',
  'get /audit',
  'get /coordinator',
  'get /databases',
  'get /demo/account',
  'get /demo/faults',
  'get /demo/load',
  'get /events',
  'get /health/live',
  'get /health/ready',
  'get /history',
  'get /inventory/{sku}',
  'get /links',
  'get /members',
  'get /metrics',
  'get /orders/{id}',
  'get /outboxes',
  'get /outboxes/{outbox}/dead',
  'get /outboxes/{outbox}/dead/{id}',
  'get /participants',
  'get /transactions',
  'get /transactions/export',
  'get /transactions/{id}',
  'post /coordinator/drain',
  'post /coordinator/undrain',
  'post /orders',
  'post /outboxes/{outbox}/discard',
  'post /outboxes/{outbox}/resend',
  'post /participants/{name}/pause',
  'post /participants/{name}/resume',
  'post /transactions/actions',
  'post /transactions/{id}/abort',
  'post /transactions/{id}/branches/{branchId}/forget',
  'post /transactions/{id}/branches/{branchId}/resolve',
  'post /transactions/{id}/branches/{branchId}/retry',
  'post /transactions/{id}/forget',
  'put /demo/faults/{participant}',
  'put /demo/load',
  'put /demo/supplies',
];

describe('The OpenAPI document', () => {
  let application: TestApplication;
  let document: Document;
  let operations: Record<string, Operation>;

  beforeAll(async () => {
    application = await TestApplication.start();
    document = (await application.get('/openapi.json')).body;
    operations = Object.fromEntries(
      Object.entries(document.paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, operation]) => [`${method} ${path}`, operation]),
      ),
    );
  });

  afterAll(() => application.close());

  it('names every route, with a summary, a tag and the answers', () => {
    const incomplete = Object.entries(operations).filter(
      ([, { summary, tags, responses }]) =>
        !summary || tags?.length !== 1 || !Object.keys(responses).some((status) => status.startsWith('2')),
    );

    expect(document.openapi).toMatch(/^3\./);
    expect(Object.keys(operations).toSorted()).toEqual(ROUTES);
    expect(incomplete).toEqual([]);
  });

  it('shows errors as problems', () => {
    const errors = Object.entries(operations)
      .filter(([route]) => !route.startsWith('get /health'))
      .flatMap(([, { responses }]) => Object.entries(responses))
      .filter(([status]) => status >= '400')
      .flatMap(([, { content }]) => Object.keys(content ?? { none: true }));

    expect(errors.length).toBeGreaterThan(10);
    expect([...new Set(errors)]).toEqual(['application/problem+json']);
  });

  it('has every schema that it refers to', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(
      ([, reference]) => reference,
    );
    const schemas = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`);

    expect(references.length).toBeGreaterThan(5);
    expect(schemas).toEqual(expect.arrayContaining([...new Set(references)]));
  });

  it('defines how every route is secured that is', () => {
    const names = Object.values(operations).flatMap(({ security = [] }) => security.flatMap(Object.keys));

    expect(document.components.securitySchemes).toMatchObject({ bearer: { type: 'http', scheme: 'bearer' } });
    expect(names.length).toBeGreaterThan(10);
    expect([...new Set(names)]).toEqual(Object.keys(document.components.securitySchemes!));
  });

  it('is made from the schemas that requests are checked against', () => {
    expect(document.components.schemas.PlaceOrder).toMatchObject({
      additionalProperties: false,
      required: ['customerId', 'items'],
      properties: { items: { minItems: 1, maxItems: 50 } },
    });
    expect(operations['get /transactions']?.parameters?.map(({ name }) => name)).toEqual([
      'state',
      'stalled',
      'heuristic',
      'inDoubt',
      'participant',
      'name',
      'attribute',
      'search',
      'cause',
      'alarm',
      'groups',
      'group',
      'startedAfter',
      'startedBefore',
      'minAgeMs',
      'maxAgeMs',
      'order',
      'limit',
      'cursor',
    ]);
  });

  it('lists each header of an order once', () => {
    const headers = operations['post /orders']?.parameters?.filter((parameter) => parameter.in === 'header');
    expect(headers?.map(({ name }) => name).toSorted()).toEqual(['Idempotency-Key', 'X-Request-Id']);
  });

  it('does not let a page of another host name read data for operators', async () => {
    const asked = await application.http.get('/transactions').set('Host', 'evil.example');
    expect([asked.status, asked.body.code]).toEqual([401, 'DTC_UNAUTHENTICATED']);
  });

  it('can be read at /docs', async () => {
    const page = await application.get('/docs');
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toContain('text/html');
    expect((await application.get('/docs/swagger-ui-bundle.js')).status).toBe(200);
  });
});
