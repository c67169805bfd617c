import { Body, Controller, HttpCode, Inject, Module, type ModuleMetadata, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { TransactionParticipant } from '../../src/coordinator/index.js';
import { ParticipantHostModule } from '../../src/host/index.js';
import { WORK, type Work, bareBranch } from '../memory/participants.js';
import type { BareAnswer, BareRequest } from './bare-requests.js';
import { CLASSES, type ServiceKind, type ServiceName, TOKEN } from './services.js';

/** One service in a process of its own: a participant host, or plain routes with the same work behind them. */
const [, , kind, name] = process.argv as [string, string, ServiceKind, ServiceName];

const SERVICE = Symbol('SERVICE');
/** The participants look at nothing of a branch, so one serves for all. */
const BRANCH = bareBranch(WORK);

/** What a team writes by hand: a route for each step. Nothing is checked, and nothing is remembered. */
@Controller()
class BareController {
  constructor(@Inject(SERVICE) private readonly service: TransactionParticipant<Work>) {}

  @Post('prepare')
  @HttpCode(200)
  async prepare(@Body() { id }: BareRequest): Promise<BareAnswer> {
    return { id, kind: 'vote', vote: await this.service.prepare(BRANCH) };
  }

  @Post('commit')
  @HttpCode(200)
  async commit(@Body() { id }: BareRequest): Promise<BareAnswer> {
    await this.service.commit(BRANCH);
    return { id, kind: 'done' };
  }
}

@Module({})
class ServiceModule {}

const MODULES: Readonly<Record<ServiceKind, () => ModuleMetadata>> = {
  participant: () => ({
    imports: [ParticipantHostModule.forRoot({ credentials: TOKEN, guard: 'memory' })],
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
await app.listen(0, '127.0.0.1');
// When the measuring process is gone, nothing is left to do here.
process.on('disconnect', () => process.exit());
process.send!(`${await app.getUrl()}${PATHS[kind]}`);
