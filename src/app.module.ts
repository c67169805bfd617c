import { isIPv6 } from 'node:net';
import {
  type DynamicModule,
  Module,
  type OnApplicationShutdown,
  StandardSchemaValidationPipe,
} from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { LoggerModule, PinoLogger } from 'nestjs-pino';
import type { DestinationStream } from 'pino';
import { LogOutput } from './common/log-output.js';
import { loggerParams } from './common/logging.js';
import { ProblemFilter } from './operations/problem/problem.filter.js';
import type { Configuration, DecisionLogChoice } from './configuration.js';
import { CoordinatorModule, type DecisionLog, MemoryDecisionLog } from './coordinator/index.js';
import { type Credential, type OperationsConfiguration, OperationsModule } from './operations/index.js';
import { PinoOutput, PinoTransactionLines } from './pino/index.js';
import { PostgresDecisionLog } from './postgres/index.js';
import { SqliteDecisionLog } from './sqlite/index.js';
import { DemoModule } from './demo/demo.module.js';
import { demoOperator } from './demo/demo.settings.js';
import { OrdersModule } from './orders/orders.module.js';

/** The most log lines of transactions in one write, if the output supports it. */
const LINES_PER_WRITE = 64;

/** How long the shutdown waits for a slow reader of the log, in milliseconds. */
const LAST_LINES_MS = 1_000;

/** The application: the coordinator, its operators' interface, and orders over three services. */
@Module({})
export class AppModule {
  /** @param logs the destination of log lines. @default standard output */
  static forRoot(configuration: Configuration, logs?: DestinationStream): DynamicModule {
    // Only an application for demonstration has it, and each start another one.
    const operator = configuration.demo ? demoOperator() : undefined;
    const { imports, providers } = foundationOf(
      operator === undefined ? configuration : withOperator(configuration, operator),
      logs,
    );
    const shop = OrdersModule.forRoot(configuration.databases);
    return {
      module: AppModule,
      imports: [
        ...imports,
        shop,
        ...(operator === undefined
          ? []
          : [DemoModule.forRoot(shop, { operator, hosts: hostsOf(configuration) })]),
      ],
      providers,
    };
  }
}

function withOperator(
  { access, ...configuration }: Configuration,
  operator: Credential,
): FoundationConfiguration {
  return {
    ...configuration,
    access: { ...access, operators: [...access.operators, operator] },
    pages: [{ label: 'Demonstration', url: '/demo' }],
  };
}

/** What the shop and the coordinator without a shop have in common. */
export type FoundationConfiguration = Pick<
  Configuration,
  'access' | 'coordinator' | 'decisionLog' | 'host' | 'links' | 'logLevel' | 'memberTokens'
> &
  Pick<OperationsConfiguration, 'pages'>;

/**
 * @param log in which decisions are kept. @default one as the configuration says
 * @returns logging, the coordinator with its log, and the operators' interface.
 */
export function foundationOf(
  configuration: FoundationConfiguration,
  logs?: DestinationStream,
  log?: DecisionLog,
): Required<Pick<DynamicModule, 'imports' | 'providers'>> {
  const output = logs instanceof LogOutput ? new PinoOutput(logs) : undefined;
  return {
    imports: [
      LoggerModule.forRoot(loggerParams(configuration.logLevel, output ?? logs)),
      EventEmitterModule.forRoot(),
      CoordinatorModule.forRootAsync({
        inject: [PinoLogger],
        useFactory: (pino: PinoLogger) => ({
          ...configuration.coordinator,
          // By name: with databases the log is durable unless DECISION_LOG says otherwise.
          allowMemoryLog: configuration.decisionLog.kind === 'memory',
          log: log ?? makeDecisionLog(configuration.decisionLog),
          lines: new PinoTransactionLines(
            pino.logger,
            output === undefined ? {} : { linesPerWrite: LINES_PER_WRITE, destination: output },
          ),
        }),
      }),
      OperationsModule.forRoot({
        ...configuration.access,
        hosts: hostsOf(configuration),
        members: configuration.memberTokens && { tokens: configuration.memberTokens },
        links: configuration.links,
        pages: configuration.pages,
      }),
    ],
    providers: [
      { provide: APP_PIPE, useClass: StandardSchemaValidationPipe },
      { provide: APP_FILTER, useClass: ProblemFilter },
      ...(logs instanceof LogOutput ? [{ provide: LastLines, useValue: new LastLines(logs) }] : []),
    ],
  };
}

/** Writes the log out before the process ends. */
class LastLines implements OnApplicationShutdown {
  constructor(private readonly output: LogOutput) {}

  onApplicationShutdown(): Promise<void> {
    return this.output.written(LAST_LINES_MS);
  }
}

/** The names by which this machine addresses itself. */
function hostsOf({ host }: FoundationConfiguration): readonly string[] {
  return ['localhost', '127.0.0.1', '[::1]', isIPv6(host) ? `[${host}]` : host];
}

/** @returns the log of the configuration. It is not open yet. */
export function makeDecisionLog(choice: DecisionLogChoice): DecisionLog {
  switch (choice.kind) {
    case 'memory':
      return new MemoryDecisionLog();
    case 'sqlite':
      return new SqliteDecisionLog({ path: choice.path });
    case 'postgres':
      return new PostgresDecisionLog({ connection: choice.url });
  }
}
