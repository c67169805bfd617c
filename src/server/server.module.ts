import {
  Controller,
  type DynamicModule,
  Module,
  type Provider,
  type Type,
  VERSION_NEUTRAL,
} from '@nestjs/common';
import { InvalidOptionsError } from '../coordinator/index.js';
import { Reply } from '../operations/reply.js';
import { ServerAccess } from './access/server-access.js';
import { CallerTransactions, SERVER_LIMITS } from './caller-transactions.js';
import {
  type CoordinatorServerAsyncOptions,
  type CoordinatorServerOptions,
  resolveSettings,
} from './server.options.js';
import { ServerParticipantsController } from './participants.controller.js';
import { CallerTransactionsController } from './transactions.controller.js';

const DEFAULT_PREFIX = 'dtc';
const PREFIX = /^\/?[\w.~-]+(\/[\w.~-]+)*\/?$/;
const SETTINGS = Symbol('settings of CoordinatorServerModule');

type Settings = ReturnType<typeof resolveSettings>;

/**
 * The coordinator's interface for other processes, in any language: callers run transactions, and
 * participants ask for decisions. Import it beside CoordinatorModule.
 *
 * @publicApi
 */
@Module({})
export class CoordinatorServerModule {
  /**
   * @param options the callers, their rights, the limits, and the paths of the routes.
   * @throws InvalidOptionsError when an option is unknown or impossible.
   */
  static forRoot({ prefix, ...settings }: CoordinatorServerOptions): DynamicModule {
    const resolved = resolveSettings(settings);
    return configured(prefix, [], { provide: SETTINGS, useValue: resolved });
  }

  /**
   * As {@link CoordinatorServerModule.forRoot}, with what the application injects.
   *
   * @throws InvalidOptionsError at the start, as `forRoot` does.
   */
  static forRootAsync({
    prefix,
    imports = [],
    inject = [],
    useFactory,
  }: CoordinatorServerAsyncOptions): DynamicModule {
    return configured(prefix, imports, {
      provide: SETTINGS,
      inject,
      useFactory: async (...dependencies: unknown[]) => resolveSettings(await useFactory(...dependencies)),
    });
  }
}

function configured(
  prefix: string = DEFAULT_PREFIX,
  imports: NonNullable<DynamicModule['imports']>,
  settings: Provider,
): DynamicModule {
  if (typeof prefix !== 'string' || !PREFIX.test(prefix)) {
    throw new InvalidOptionsError('CoordinatorServerModule', [
      'prefix: must be a path of letters, digits, "-", "_", "." and "~", such as "dtc"; it takes no parameters',
    ]);
  }
  return {
    module: CoordinatorServerModule,
    imports,
    controllers: [
      routesAt(prefix, CallerTransactionsController),
      routesAt(`${prefix.replace(/\/$/, '')}/participants`, ServerParticipantsController),
    ],
    providers: [
      settings,
      {
        provide: ServerAccess,
        inject: [SETTINGS],
        useFactory: ({ access }: Settings) => new ServerAccess(access),
      },
      { provide: SERVER_LIMITS, inject: [SETTINGS], useFactory: ({ limits }: Settings) => limits },
      CallerTransactions,
      Reply,
    ],
  };
}

/** A class of its own, so that the path holds for this import of the module alone. */
function routesAt(path: string, controller: Type): Type {
  const { [controller.name]: routes } = { [controller.name]: class extends controller {} };
  Controller({ path, version: VERSION_NEUTRAL })(routes!);
  return routes!;
}
