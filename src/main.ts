import { Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { readConfiguration } from './configuration.js';
import { APPLICATION_OPTIONS, configureApp, createHttpAdapter } from './configure-app.js';
import { reasonNotStarted } from './reason-not-started.js';

try {
  const configuration = readConfiguration(process.env);
  const app = configureApp(
    await NestFactory.create<NestFastifyApplication>(
      AppModule.forRoot(configuration),
      createHttpAdapter(),
      APPLICATION_OPTIONS,
    ),
  );
  await app.listen(configuration.port, configuration.host);
  new Logger('Application').log(`Listening on ${await app.getUrl()}, documentation at /docs`);
} catch (error) {
  process.stderr.write(`The application did not start: ${reasonNotStarted(error)}\n`);
  process.exit(1);
}
