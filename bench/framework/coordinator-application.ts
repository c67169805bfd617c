import { devNull } from 'node:os';
import {
  ConsoleLogger,
  type DynamicModule,
  type INestApplicationContext,
  Module,
  type Type,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { destination } from 'pino';
import {
  CoordinatorModule,
  type CoordinatorModuleOptions,
  type TransactionParticipant,
  TransactionManager,
} from '../../src/coordinator/index.js';

/** Nest's own logger at level warn. It formats its lines and then drops them. */
class WarningsToNowhere extends ConsoleLogger {
  private readonly nowhere = destination({ dest: devNull, sync: true });

  constructor() {
    super({ logLevels: ['warn', 'error', 'fatal'], json: true });
  }

  protected override printAsJson(...[message, options]: Parameters<ConsoleLogger['printAsJson']>): void {
    this.nowhere.write(`${JSON.stringify(this.getJsonLogObject(message, options))}\n`);
  }
}

const logger = new WarningsToNowhere();

@Module({})
class BenchmarkModule {}

/** The coordinator in a Nest application of its own, with its defaults. */
export class CoordinatorApplication {
  private constructor(
    private readonly context: INestApplicationContext,
    readonly transactions: TransactionManager,
  ) {}

  /**
   * @param participants classes decorated with `@Participant`.
   * @param options as for `CoordinatorModule.forRoot()`. Only the limit of transactions in flight is raised
   * here.
   * @param modules further modules, such as the one of participants in other processes.
   */
  static async start(
    participants: readonly Type<TransactionParticipant<never>>[],
    options: CoordinatorModuleOptions = {},
    modules: readonly DynamicModule[] = [],
  ): Promise<CoordinatorApplication> {
    const root = {
      module: BenchmarkModule,
      imports: [
        CoordinatorModule.forRoot({
          allowMemoryLog: true,
          maxInFlight: 20_000,
          shutdownGraceMs: 1_000,
          ...options,
        }),
        ...modules,
      ],
      providers: [...participants],
    };
    const context = await NestFactory.createApplicationContext(root, { logger });
    return new CoordinatorApplication(context, context.get(TransactionManager));
  }

  get<T>(type: Type<T>): T {
    return this.context.get(type);
  }

  close(): Promise<void> {
    return this.context.close();
  }
}
