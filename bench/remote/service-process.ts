import { Body, Controller, HttpCode, Inject, Module, type ModuleMetadata, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { GrpcMethod, MessagePattern, type MicroserviceOptions, Payload } from '@nestjs/microservices';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { TransactionParticipant } from '../../src/coordinator/index.js';
import { ParticipantHostModule } from '../../src/host/index.js';
import { ParticipantHostMicroserviceModule } from '../../src/microservices/index.js';
import { freePort } from '../../src/postgres-server/free-port.js';
import { WORK, type Work, bareBranch } from '../memory/participants.js';
import type { BareAnswer, BareRequest } from './bare-requests.js';
import { CLASSES, type ServiceKind, type ServiceName, TOKEN, patternOf } from './services.js';
import { BARE_SERVICE, type TransportName, serverOf } from './transports.js';

/**
 * One service in a process of its own: a participant host, or plain routes with the same work behind them.
 */
const [, , transport, kind, name, brokerPort] = process.argv as [
  string,
  string,
  TransportName,
  ServiceKind,
  ServiceName,
  string | undefined,
];

const SERVICE = Symbol('SERVICE');
/** The participants do not look at the branch, so one of them serves for all. */
const BRANCH = bareBranch(WORK);
const PATTERN = patternOf(kind, name);

/** Nest takes one pattern for a method. */
function OnStep(step: 'prepare' | 'commit'): MethodDecorator {
  if (transport !== 'grpc') return MessagePattern(`${PATTERN}.${step}`);
  return GrpcMethod(BARE_SERVICE, step === 'prepare' ? 'Prepare' : 'Commit');
}

/** A service as teams write it by hand: a route for each step. It checks nothing and remembers nothing. */
@Controller()
class BareController {
  constructor(@Inject(SERVICE) private readonly service: TransactionParticipant<Work>) {}

  @Post('prepare')
  @HttpCode(200)
  @OnStep('prepare')
  async prepare(@Body() @Payload() { id }: BareRequest): Promise<BareAnswer> {
    return { id, kind: 'vote', vote: await this.service.prepare(BRANCH) };
  }

  @Post('commit')
  @HttpCode(200)
  @OnStep('commit')
  async commit(@Body() @Payload() { id }: BareRequest): Promise<BareAnswer> {
    await this.service.commit(BRANCH);
    return { id, kind: 'done' };
  }
}

@Module({})
class ServiceModule {}

const MODULES: Readonly<Record<ServiceKind, () => ModuleMetadata>> = {
  participant: () => ({
    imports: [
      ParticipantHostModule.forRoot({ credentials: TOKEN, guard: 'memory' }),
      ...(transport === 'http' ? [] : [ParticipantHostMicroserviceModule.forRoot({ pattern: PATTERN })]),
    ],
    providers: [CLASSES[name]],
  }),
  bare: () => ({
    controllers: [BareController],
    providers: [{ provide: SERVICE, useClass: CLASSES[name] }],
  }),
};
const PATHS: Readonly<Record<ServiceKind, string>> = { participant: '/participants', bare: '' };

const app = await NestFactory.create<NestFastifyApplication>(
  { module: ServiceModule, ...MODULES[kind]() },
  new FastifyAdapter(),
  { logger: ['warn', 'error', 'fatal'] },
);

/** @returns the address of the service. */
async function start(): Promise<string> {
  if (transport === 'http') {
    await app.listen(0, '127.0.0.1');
    return `${await app.getUrl()}${PATHS[kind]}`;
  }
  const port = brokerPort === undefined ? await freePort() : Number(brokerPort);
  app.connectMicroservice<MicroserviceOptions>(serverOf(transport, kind, port, PATTERN));
  await app.init();
  await app.startAllMicroservices();
  return `${port}`;
}

const address = await start();
// When the measuring process is gone, this process has nothing left to do.
process.on('disconnect', () => process.exit());
process.send!(address);
