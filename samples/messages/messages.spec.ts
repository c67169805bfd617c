import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type INestMicroservice, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { Test, type TestingModule } from '@nestjs/testing';
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TransactionManager, branch } from '../../src/coordinator/index.js';
import { OutboxRelays } from '../../src/outbox/index.js';
import { PostgresServer, type TestDatabase } from '../../test/support/postgres/server.js';
import { isInstalled, natsServer } from '../../test/transports/support/brokers.js';
import type { Broker } from '../../test/transports/support/rig.js';
import { Mailer } from './mailer.js';
import { OrderParticipant } from './order.participant.js';
import { OrdersModule } from './orders.module.js';

describe.runIf(isInstalled('nats-server'))('Messages over NATS', () => {
  let server: PostgresServer;
  let broker: Broker;
  let orders: TestDatabase;
  let letters: TestDatabase;
  let pool: Pool;
  let folder: string;
  let application: TestingModule;
  let mailer: INestMicroservice;

  beforeAll(async () => {
    server = await PostgresServer.start();
    [orders, letters] = [await server.createDatabase(), await server.createDatabase()];
    await orders.query('CREATE TABLE orders (id text PRIMARY KEY, customer text NOT NULL)');
    await letters.query(
      'CREATE TABLE letters (customer text, order_id text); CREATE TABLE handled_messages (id text PRIMARY KEY)',
    );
    pool = new Pool({ connectionString: letters.url });
    // The server may end a connection that says goodbye, and a pool without a listener ends the process by that.
    pool.on('error', () => {});
    broker = await natsServer();
    await broker.start();
    process.env['ORDER_DATABASE_URL'] = orders.url;
    folder = mkdtempSync(join(tmpdir(), 'messages-'));
    process.env['ORDER_LOG'] = join(folder, 'decisions');
    process.env['NATS_URL'] = `nats://127.0.0.1:${broker.port}`;
    mailer = await startMailer();
    application = await Test.createTestingModule({ imports: [OrdersModule] }).compile();
    application.useLogger(false);
    await application.init();
  });

  afterAll(async () => {
    delete process.env['ORDER_DATABASE_URL'];
    delete process.env['NATS_URL'];
    delete process.env['ORDER_LOG'];
    await application.close();
    await mailer.close();
    await broker.close();
    await pool.end();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function startMailer(): Promise<INestMicroservice> {
    @Module({ controllers: [Mailer], providers: [{ provide: Pool, useValue: pool }] })
    class MailerModule {}
    const options: MicroserviceOptions = {
      transport: Transport.NATS,
      options: { servers: process.env['NATS_URL']!, queue: 'mailers', reconnectTimeWait: 50 },
    };
    const started = await NestFactory.createMicroservice<MicroserviceOptions>(MailerModule, {
      ...options,
      logger: false,
    });
    await started.listen();
    return started;
  }

  async function order(id: string): Promise<string> {
    const { status } = await application
      .get(TransactionManager)
      .run({ name: 'order', branches: [branch(OrderParticipant, { id, customer: 'ann' })] });
    return status;
  }

  async function written(): Promise<string[]> {
    const { rows } = await letters.query<{ order_id: string }>('SELECT order_id FROM letters');
    return rows.map(({ order_id }) => order_id);
  }

  it('come from each order that has committed, in their order, and from no other', async () => {
    expect(await order('1')).toBe('committed');
    expect(await order('1')).toBe('aborted');
    expect(await order('2')).toBe('committed');
    await expect.poll(written).toEqual(['1', '2']);
  });

  it('wait for a broker that is down, and have one effect although they may come twice', async () => {
    await broker.stop();
    expect(await order('3')).toBe('committed');
    const relays = application.get(OutboxRelays);
    await expect.poll(() => relays.status()[0]!.retried).toBeGreaterThan(0);
    await broker.start();
    await expect.poll(written, { timeout: 20_000 }).toEqual(['1', '2', '3']);
    const before = mailer.get(Mailer).received;
    await orders.query(`UPDATE dtc_outbox SET state = 'waiting', due_at = now()`);
    await expect.poll(() => mailer.get(Mailer).received).toBeGreaterThanOrEqual(before + 3);
    expect(await written()).toEqual(['1', '2', '3']);
  });
});
