import 'reflect-metadata';
import { ConsoleLogger, Injectable, Module, type OnApplicationShutdown, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { stopTelemetry } from './telemetry.js';

/** Rollbacks may be under way until the coordinator has stopped, and have spans as well. */
@Injectable()
class LastSpans implements OnApplicationShutdown {
  onApplicationShutdown(): Promise<void> {
    return stopTelemetry();
  }
}

@Module({})
class Program {}

/** Starts a program on `PORT`. It ends on SIGTERM or SIGINT, when its calls are answered and its spans are sent. */
export async function serve(module: Type): Promise<void> {
  const app = await NestFactory.create(
    { module: Program, imports: [module], providers: [LastSpans] },
    { logger: new ConsoleLogger({ json: true }) },
  );
  app.enableShutdownHooks([], { useProcessExit: true });
  await app.listen(Number(process.env['PORT'] ?? 0), '127.0.0.1');
  // A process that has started this one with a channel is told the address.
  process.send?.({ url: await app.getUrl() });
}
