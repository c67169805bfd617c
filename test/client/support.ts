import type { INestApplication, ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import type { AddressInfo } from 'node:net';
import { TransactionClientModule, TransactionManager } from '../../src/client/index.js';
import { type TransactionClientOptions, resolveClientOptions } from '../../src/client/client.options.js';
import { LogRecorder } from '../library/support/log-recorder.js';
import { CALLER, OTHER_CALLER, TestServer } from '../server/support.js';

/** The service that carries its transactions to others. */
export const TRAVELLER = { name: 'checkout', token: 'the-token-of-checkout' };

/** @returns the manager of a caller, without a Nest application. */
export function clientOf(
  members: readonly (TestServer | string)[],
  options: Partial<TransactionClientOptions> = {},
): TransactionManager {
  return new TransactionManager(
    resolveClientOptions({
      members: members.map((member) => (typeof member === 'string' ? member : `${member.url}/dtc`)),
      token: CALLER.token,
      retryBaseMs: 1,
      retryCapMs: 20,
      ...options,
    }),
  );
}

/** A service that transactions of {@link callingService} may come to. */
export function calledService(server: TestServer, metadata: ModuleMetadata): Promise<TestingModule> {
  return serviceOf(metadata, { ...memberOf(server), token: OTHER_CALLER.token, carriers: [TRAVELLER] });
}

/** @param origin of the service to which it carries its transactions. */
export function callingService(
  server: TestServer,
  origin: string,
  metadata: ModuleMetadata,
): Promise<TestingModule> {
  return serviceOf(metadata, { ...memberOf(server), token: CALLER.token, carry: carryTo(origin) });
}

/** The ways in which a service carries its transactions. */
export function carryTo(origin: string): { readonly token: string; readonly origins: readonly string[] } {
  return { token: TRAVELLER.token, origins: [origin] };
}

function memberOf(server: TestServer): { readonly members: readonly string[] } {
  return { members: [`${server.url}/dtc`] };
}

function serviceOf(metadata: ModuleMetadata, options: TransactionClientOptions): Promise<TestingModule> {
  return Test.createTestingModule({
    ...metadata,
    imports: [TransactionClientModule.forRoot(options), ...(metadata.imports ?? [])],
  })
    .setLogger(new LogRecorder())
    .compile();
}

/** @returns where the application listens. */
export async function listening(app: INestApplication): Promise<string> {
  await app.listen(0, '127.0.0.1');
  const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
  return `http://127.0.0.1:${port}`;
}
