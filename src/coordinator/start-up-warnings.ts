import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';

/** Says at the end of the start what the application has left out, and works badly without. */
@Injectable()
export class StartUpWarnings implements OnApplicationBootstrap {
  private readonly logger = new Logger('Coordinator');

  constructor(private readonly application: ModuleRef) {}

  /** Every provider is made by now, and the signals of the application are usually set. */
  onApplicationBootstrap(): void {
    // Where there are several coordinators, one of them reports.
    const all = this.application.get(StartUpWarnings, { strict: false, each: true });
    if (all[0] !== this) return;
    if (all.length > 1) {
      this.logger.warn(
        `The application has ${all.length} coordinators, because it imports CoordinatorModule ${all.length} times. Each of them ` +
          'registers every participant and decides its own transactions, and which one a class gets depends on its module. Import ' +
          'CoordinatorModule.forRoot() or forRootAsync() once, in the root module: it is global.',
      );
    }
    // Where Nest starts an application context, the program can set its signals only when it has it.
    setImmediate(() => this.checkSignals()).unref();
  }

  private checkSignals(): void {
    // Orchestrators end a process with SIGTERM. A listener of SIGINT alone helps only at a terminal.
    if (process.listenerCount('SIGTERM') > 0) return;
    this.logger.warn(
      'Nothing in this process listens to SIGTERM, so it would end without waiting for the transactions in flight: their callers ' +
        'would get no answer. Call app.enableShutdownHooks() before app.listen(), or right after NestFactory.createApplicationContext().',
    );
  }
}
