import {
  type DynamicModule,
  Inject,
  type MiddlewareConsumer,
  Module,
  type NestModule,
  type Provider,
  RequestMethod,
} from '@nestjs/common';
import { InvalidOptionsError } from '../coordinator/index.js';
import { type RestAtAsyncOptions, type RestAtOptions, resolveRestAtOptions } from './options.js';
import { RestAtHandler } from './rest-at.handler.js';
import { REST_AT_OPTIONS, REST_AT_PREFIX, RestAt } from './rest-at.js';

const DEFAULT_PREFIX = 'rest-at-coordinator/tx';
const PREFIX = /^\/?[\w.~-]+(\/[\w.~-]+)*\/?$/;

/**
 * The coordinator's side of REST-AT: clients begin and end transactions over plain HTTP, and participants of
 * any vendor enlist. Import it once, beside CoordinatorModule.
 *
 * @publicApi
 */
@Module({})
export class RestAtModule implements NestModule {
  /** @internal */
  constructor(@Inject(REST_AT_PREFIX) private readonly prefix: string) {}

  /**
   * @param options the callers, the participants that it calls, the limits, and the paths of the routes.
   * @throws InvalidOptionsError when an option is unknown or impossible.
   */
  static forRoot(options: RestAtOptions): DynamicModule {
    const { prefix, ...settings } = options;
    return configured(prefix, [], { provide: REST_AT_OPTIONS, useValue: resolveRestAtOptions(settings) });
  }

  /**
   * As {@link RestAtModule.forRoot}, with what the application injects.
   *
   * @throws InvalidOptionsError at the start.
   */
  static forRootAsync(options: RestAtAsyncOptions): DynamicModule {
    const { prefix, imports = [], inject = [], useFactory } = options;
    return configured(prefix, imports, {
      provide: REST_AT_OPTIONS,
      inject,
      useFactory: async (...dependencies: unknown[]) =>
        resolveRestAtOptions(await useFactory(...dependencies)),
    });
  }

  /** Answers every request below the prefix. */
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(RestAtHandler).forRoutes({ path: `${this.prefix}/*path`, method: RequestMethod.ALL });
  }
}

function configured(
  prefix: string = DEFAULT_PREFIX,
  imports: NonNullable<DynamicModule['imports']>,
  options: Provider,
): DynamicModule {
  if (typeof prefix !== 'string' || !PREFIX.test(prefix)) {
    throw new InvalidOptionsError('RestAtModule', [
      'prefix: must be a path of letters, digits, "-", "_", "." and "~", such as "rest-at-coordinator/tx"; it takes no parameters',
    ]);
  }
  const path = { provide: REST_AT_PREFIX, useValue: prefix.replaceAll(/^\/|\/$/g, '') };
  return { module: RestAtModule, imports, providers: [path, options, RestAt] };
}
