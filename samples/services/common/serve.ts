import 'reflect-metadata';
import { ConsoleLogger, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

/** Starts a service. It ends on SIGTERM or SIGINT, when its calls are answered. */
export async function serve(
  module: DynamicModule,
  { HOST, PORT }: { readonly HOST: string; readonly PORT: number },
): Promise<void> {
  // If a process has started this one with a channel, as `npm run start:services` does, this one tells it
  // the address, and ends with it.
  process.once('disconnect', end).on('message', (message: { stop?: true } | null) => {
    if (message?.stop === true) end();
  });
  const app = await NestFactory.create(module, { logger: new ConsoleLogger({ json: true }) });
  app.enableShutdownHooks([], { useProcessExit: true });
  await app.listen(PORT, HOST);
  process.send?.({ url: await app.getUrl() });
}

function end(): void {
  // On Windows a signal ends the process at once, and no listener is called.
  if (process.platform === 'win32' && process.emit('SIGTERM', 'SIGTERM')) return;
  process.kill(process.pid, 'SIGTERM');
}
