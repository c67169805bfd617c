import { once } from 'node:events';
import { type IncomingHttpHeaders, type RequestListener, type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  CoordinatorModule,
  type CoordinatorOptions,
  ParticipantRegistry,
  TransactionManager,
  type TransactionView,
  idPrefixOf,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { SharedMemoryLog } from '../../src/coordinator/testing/shared-memory-log.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';
import { type MembersOptions, OperationsModule } from '../../src/operations/index.js';
import { LogRecorder } from '../library/support/log-recorder.js';

export const COORDINATOR = 'shop';
export const READER = { name: 'prometheus', token: 'the-token-of-prometheus' };
export const OPERATOR = { name: 'alice', token: 'the-token-of-alice' };
export const MEMBER_TOKEN = 'the-token-of-the-members';

/** The answer of a server. */
export interface Answered<T = Record<string, unknown>> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
}

/** An HTTP server that listens before what answers its requests is made. */
class EarlyServer {
  handler: RequestListener = (_request, response) => response.writeHead(503).end();
  /** The headers of every call that was sent to it as to a member. */
  readonly calls: IncomingHttpHeaders[] = [];
  readonly server: Server = createServer((request, response) => {
    if (request.url === '/members/calls') this.calls.push(request.headers);
    this.handler(request, response);
  });

  async listen(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}

/** The unusual settings of a member. */
export interface MemberSettings {
  readonly members?: MembersOptions;
  readonly isWithoutTokens?: boolean;
  readonly options?: CoordinatorOptions;
}

/** An application that is one member of the coordinator, with HTTP of its own. */
export class HttpMember {
  readonly lines = new LogRecorder();
  readonly log: SharedMemoryLog;
  readonly bank = new ScriptedParticipant();
  private constructor(
    readonly name: string,
    store: SharedMemoryStore,
    private readonly http: EarlyServer,
    private readonly application: { app?: INestApplication },
  ) {
    this.log = new SharedMemoryLog(store);
  }

  static async start(
    name: string,
    store: SharedMemoryStore,
    {
      members = { tokens: [MEMBER_TOKEN], timeoutMs: 1_000 },
      isWithoutTokens = false,
      options = {},
    }: MemberSettings = {},
  ): Promise<HttpMember> {
    const http = new EarlyServer();
    await http.listen();
    const member = new HttpMember(name, store, http, {});
    const module = await Test.createTestingModule({
      imports: [
        CoordinatorModule.forRoot({
          name: COORDINATOR,
          log: member.log,
          allowMemoryLog: true,
          memberName: name,
          memberAddress: http.url,
          leaseMs: 200,
          sweepIntervalMs: 2,
          recoveryIntervalMs: 60_000,
          maxAttempts: 1,
          ...options,
        }),
        OperationsModule.forRoot({
          readers: [READER],
          operators: [OPERATOR],
          ...(!isWithoutTokens && { members }),
        }),
      ],
    })
      .setLogger(member.lines)
      .compile();
    const app = module.createNestApplication();
    app.get(ParticipantRegistry).register(member.bank, { name: 'bank' });
    await app.init();
    member.application.app = app;
    http.handler = app.getHttpAdapter().getInstance() as RequestListener;
    return member;
  }

  get app(): INestApplication {
    return this.application.app!;
  }

  get url(): string {
    return this.http.url;
  }

  get transactions(): TransactionManager {
    return this.app.get(TransactionManager);
  }

  /** The headers of the calls of other members. */
  get calls(): readonly IncomingHttpHeaders[] {
    return this.http.calls;
  }

  async get<T = Record<string, unknown>>(
    path: string,
    headers: Record<string, string> = {},
  ): Promise<Answered<T>> {
    const answer = await fetch(`${this.url}/${path}`, {
      headers: { authorization: `Bearer ${READER.token}`, ...headers },
    });
    return { status: answer.status, headers: answer.headers, body: (await answer.json()) as T };
  }

  async post<T = Record<string, unknown>>(
    path: string,
    body: object,
    token = OPERATOR.token,
    headers: Record<string, string> = {},
  ): Promise<Answered<T>> {
    const answer = await fetch(`${this.url}/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    return { status: answer.status, headers: answer.headers, body: (await answer.json()) as T };
  }

  /** Asks until the answer is as wanted. */
  async until<T>(path: string, isWanted: (answer: Answered<T>) => boolean): Promise<Answered<T>> {
    for (;;) {
      const answer = await this.get<T>(path);
      if (isWanted(answer)) return answer;
    }
  }

  /** Waits until the log has listed a member. */
  async sees(epoch: number): Promise<void> {
    await this.until<{ members: { epoch: number }[] }>('members', ({ body }) =>
      body.members.some((member) => member.epoch === epoch),
    );
  }

  async close(): Promise<void> {
    await this.app.close();
    await this.http.close();
  }
}

/**
 * An epoch of the coordinator whose member is not this library: the test says what answers at its address.
 */
export class ForgedMember {
  private constructor(
    readonly log: SharedMemoryLog,
    readonly epoch: number,
    private readonly logId: string,
    private readonly http: EarlyServer | undefined,
  ) {}

  /** @param address where it says that it is reached. @default a server of its own */
  static async start(store: SharedMemoryStore, address?: string): Promise<ForgedMember> {
    const log = new SharedMemoryLog(store);
    const { epoch, logId } = await log.open(COORDINATOR);
    const http = address === undefined ? new EarlyServer() : undefined;
    await http?.listen();
    const forged = new ForgedMember(log, epoch, logId, http);
    await log.members.renew({ member: 'forged', address: address ?? http!.url, draining: false });
    return forged;
  }

  set handler(handler: RequestListener) {
    this.http!.handler = handler;
  }

  get calls(): readonly IncomingHttpHeaders[] {
    return this.http!.calls;
  }

  /** The id of a transaction of this epoch. */
  id(sequence: number): string {
    return `${idPrefixOf({ name: COORDINATOR, logId: this.logId, epoch: this.epoch })}${sequence}`;
  }

  /** The frame of a member's answer. */
  reply(answer: unknown): object {
    return { coordinator: COORDINATOR, logId: this.logId, epoch: this.epoch, answer };
  }

  async close(): Promise<void> {
    await this.http?.close();
  }
}

/** A member's view of a transaction. */
export type Shown = TransactionView & { readonly owner: { epoch: number; member: string } | null };
