import type { LoggerService } from '@nestjs/common';

/** The contexts in which Nest logs each module and each route of a start, some 50 lines. */
const CONTEXTS_OF_NEST = [
  'NestFactory',
  'InstanceLoader',
  'RoutesResolver',
  'RouterExplorer',
  'NestApplication',
];

/** Passes everything on to another logger. Lines of some contexts at level `log` become `debug`. */
export class QuietLogger implements LoggerService {
  private readonly quiet: ReadonlySet<unknown>;

  /** @param contexts whose lines are less important, beside those of Nest. @default none */
  constructor(
    private readonly logger: Required<
      Pick<LoggerService, 'debug' | 'error' | 'fatal' | 'log' | 'verbose' | 'warn'>
    >,
    contexts: readonly string[] = [],
  ) {
    this.quiet = new Set([...CONTEXTS_OF_NEST, ...contexts]);
  }

  log(message: unknown, ...rest: unknown[]): void {
    if (this.quiet.has(rest.at(-1))) this.logger.debug(message, ...rest);
    else this.logger.log(message, ...rest);
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.logger.fatal(message, ...rest);
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.logger.error(message, ...rest);
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.logger.warn(message, ...rest);
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.logger.debug(message, ...rest);
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    this.logger.verbose(message, ...rest);
  }
}
