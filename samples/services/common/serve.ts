import 'reflect-metadata';
import { ConsoleLogger, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

/** Starts a service. It ends on SIGTERM or SIGINT, when its calls are answered. */
export async function serve(
  module: DynamicModule,
  { HOST, PORT }: { readonly HOST: string; readonly PORT: number },
): Promise<void> {
  // A process that has started this one with a channel, as `npm run start:services` does, is not outlived, and told the address.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  const app = await NestFactory.create(module, { logger: new ConsoleLogger({ json: true }) });
  app.enableShutdownHooks([], { useProcessExit: true });
  await app.listen(PORT, HOST);
  process.send?.({ url: await app.getUrl() });
}
