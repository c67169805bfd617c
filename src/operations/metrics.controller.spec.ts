import { ConsoleLogger, type INestApplication } from '@nestjs/common';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import request, { type Response } from 'supertest';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoordinatorModule, ParticipantRegistry, TransactionManager, branch } from '../coordinator/index.js';
import { ScriptedParticipant } from '../coordinator/testing/index.js';
import { CoordinatorMetrics, MetricsModule, OperationsModule } from './index.js';
import { Scrape } from './metrics/metrics.fixture.js';

const TOKEN = 'the-token-of-a-reader';

describe('GET /metrics', () => {
  let app: INestApplication;

  beforeEach(async () => {
    const module = await Test.createTestingModule({
      imports: [
        CoordinatorModule.forRoot({ shutdownGraceMs: 10_000 }),
        OperationsModule.forRoot({ readers: [{ name: 'prometheus', token: TOKEN }] }),
      ],
    })
      .setLogger(new ConsoleLogger({ logLevels: [] }))
      .compile();
    app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter());
    await app.listen(0, '127.0.0.1');
  });
  afterEach(() => app.close());

  const get = (token = TOKEN): Promise<Response> =>
    request(app.getHttpServer())
      .get('/metrics')
      .auth(token, { type: 'bearer' })
      .then((response) => response);

  function register(name: string, participant: ScriptedParticipant): void {
    app.get(ParticipantRegistry).register(participant, { name });
  }

  it('answers in the text format of Prometheus, with the present counts', async () => {
    register('stock', new ScriptedParticipant());
    await app.get(TransactionManager).run({ name: 'a secret', branches: [branch('stock', 1)] });

    const { status, headers, text } = await get();
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(headers['cache-control']).toBe('no-store');
    const scrape = new Scrape(text);
    expect(scrape.value('dtc_transactions_total{outcome="committed",cause="none"}')).toBe(1);
    expect(scrape.value('dtc_phase_duration_seconds_count{participant="stock",phase="prepare"}')).toBe(1);
    expect(text).not.toContain('secret');
  });

  it('answers no caller without the token of a reader', async () => {
    expect((await get('an-unknown-token-1')).status).toBe(401);
    expect((await request(app.getHttpServer()).get('/metrics')).status).toBe(401);
  });

  it('answers during a shutdown, while a transaction is still in flight', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    register('stock', new ScriptedParticipant({ prepare: { until: promise } }));
    const outcome = app.get(TransactionManager).run({ branches: [branch('stock', 1)] });
    const closed = app.close();

    const scrape = new Scrape((await get()).text);
    expect(scrape.value('dtc_accepting')).toBe(0);
    expect(scrape.value('dtc_transactions_in_flight')).toBe(1);
    resolve();
    expect(await outcome).toMatchObject({ status: 'committed' });
    await closed;
  });
});

describe('MetricsModule', () => {
  it('gives the metrics to an application that has a route of its own', async () => {
    const module = await Test.createTestingModule({ imports: [CoordinatorModule.forRoot(), MetricsModule] })
      .setLogger(new ConsoleLogger({ logLevels: [] }))
      .compile();
    await module.init();
    module.get(ParticipantRegistry).register(new ScriptedParticipant(), { name: 'stock' });
    await module.get(TransactionManager).run({ branches: [branch('stock', 1)] });

    const scrape = new Scrape(await module.get(CoordinatorMetrics, { strict: false }).text());

    expect(scrape.value('dtc_transactions_total{outcome="committed",cause="none"}')).toBe(1);
    await module.close();
  });
});
