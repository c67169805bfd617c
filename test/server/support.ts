import type { AddressInfo } from 'node:net';
import type { INestApplication, ModuleMetadata } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  CoordinatorModule,
  type CoordinatorModuleOptions,
  ParticipantRegistry,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { CoordinatorServerModule, type CoordinatorServerOptions } from '../../src/server/index.js';
import { LogRecorder } from '../library/support/log-recorder.js';
import { PLATFORMS, type Platform } from '../library/support/platforms.js';

export const CALLER = { name: 'shop', token: 'the-token-of-the-shop' };
export const OTHER_CALLER = { name: 'desk', token: 'the-token-of-the-desk' };
export const PARTICIPANT = { name: 'inventory.billing', token: 'the-token-of-inventory' };
export const READER = { name: 'prometheus', token: 'the-token-of-prometheus' };
export const OPERATOR = { name: 'alice', token: 'the-token-of-alice' };

export const ACCESS = {
  callers: [CALLER, OTHER_CALLER],
  participants: [PARTICIPANT],
  readers: [READER],
  operators: [OPERATOR],
} as const;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // oxlint-disable-next-line typescript/no-explicit-any -- JSON of any form
  readonly body: any;
}

export interface Asking {
  readonly body?: unknown;
  readonly key?: string;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A coordinator with its interface for other processes, on a port of its own. */
export class TestServer {
  readonly stock = new ScriptedParticipant();
  readonly money = new ScriptedParticipant();

  private constructor(
    readonly app: INestApplication,
    readonly log: LogRecorder,
  ) {}

  static async start(
    coordinator: CoordinatorModuleOptions = {},
    server: CoordinatorServerOptions = ACCESS,
    { imports = [], ...metadata }: ModuleMetadata = {},
    platform: Platform = PLATFORMS[1]![1],
    port = 0,
  ): Promise<TestServer> {
    const log = new LogRecorder();
    const module = await Test.createTestingModule({
      imports: [
        // What a test leaves open is waited for in vain.
        CoordinatorModule.forRoot({ shutdownGraceMs: 100, ...coordinator }),
        CoordinatorServerModule.forRoot(server),
        ...imports,
      ],
      ...metadata,
    })
      .setLogger(log)
      .compile();
    const started = new TestServer(platform(module), log);
    const registry = module.get(ParticipantRegistry);
    registry.register(started.stock, { name: 'stock' });
    registry.register(started.money, { name: 'money' });
    await started.app.listen(port, '127.0.0.1');
    return started;
  }

  get url(): string {
    const { port } = (this.app.getHttpServer() as { address(): AddressInfo }).address();
    return `http://127.0.0.1:${port}`;
  }

  /** @param path without the prefix. */
  async ask(method: string, path: string, asking: Asking = {}): Promise<Answer> {
    const { body, key, token = CALLER.token, headers = {} } = asking;
    const response = await fetch(`${this.url}/dtc${path}`, {
      method,
      headers: {
        ...('token' in asking && asking.token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
  }

  run(key: string, branches: readonly object[], more: object = {}): Promise<Answer> {
    return this.ask('POST', '/run', { key, body: { branches, ...more } });
  }

  async begin(key: string, body: object = {}): Promise<string> {
    const { body: begun } = await this.ask('POST', '/transactions', { key, body });
    return begun.transactionId as string;
  }

  enlist(id: string, participant: string, branchId: string, payload: unknown = null): Promise<Answer> {
    return this.ask('POST', `/transactions/${id}/branches`, { body: { participant, branchId, payload } });
  }

  close(): Promise<void> {
    // The connections of fetch stay open for a next request.
    (this.app.getHttpServer() as { closeAllConnections(): void }).closeAllConnections();
    return this.app.close();
  }
}
