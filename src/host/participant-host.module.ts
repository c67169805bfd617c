import {
  Controller,
  type DynamicModule,
  type ModuleMetadata,
  Module,
  type Type,
  VERSION_NEUTRAL,
} from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { ParticipantAccessor } from '../coordinator/participant/participant.accessor.js';
import { HostController } from './host.controller.js';
import {
  type ParticipantHostOptions,
  type ParticipantHostRoutes,
  resolveHostOptions,
  resolveRoutes,
} from './options.js';
import { HOST_OPTIONS, ParticipantHost } from './participant-host.js';

/** The options of `forRootAsync`. @publicApi */
export interface ParticipantHostAsyncOptions extends ParticipantHostRoutes {
  readonly imports?: ModuleMetadata['imports'];
  readonly inject?: readonly unknown[];
  /** Makes the options from what is injected. */
  readonly useFactory: (...injected: never[]) => ParticipantHostOptions | Promise<ParticipantHostOptions>;
}

/**
 * Serves the `@Participant` providers of an application to coordinators in other processes, over HTTP. Import
 * it once, in place of CoordinatorModule: it loads no coordinator.
 *
 * @publicApi
 */
@Module({})
export class ParticipantHostModule {
  /** @throws InvalidOptionsError when an option is impossible. */
  static forRoot({
    prefix,
    decorators,
    ...options
  }: ParticipantHostOptions & ParticipantHostRoutes): DynamicModule {
    const resolved = resolveHostOptions(options);
    return hosting({ prefix, decorators }, { provide: HOST_OPTIONS, useValue: resolved });
  }

  /** As {@link ParticipantHostModule.forRoot}. @throws InvalidOptionsError at the start. */
  static forRootAsync({
    imports = [],
    inject = [],
    useFactory,
    ...routes
  }: ParticipantHostAsyncOptions): DynamicModule {
    const make = useFactory as (
      ...injected: unknown[]
    ) => ParticipantHostOptions | Promise<ParticipantHostOptions>;
    return hosting(
      routes,
      {
        provide: HOST_OPTIONS,
        inject: [...inject] as never[],
        useFactory: async (...injected: unknown[]) => resolveHostOptions(await make(...injected)),
      },
      imports,
    );
  }
}

function hosting(
  routes: ParticipantHostRoutes,
  options: NonNullable<ModuleMetadata['providers']>[number],
  imports: NonNullable<ModuleMetadata['imports']> = [],
): DynamicModule {
  const { base, decorators } = resolveRoutes(routes);
  return {
    module: ParticipantHostModule,
    imports: [DiscoveryModule, ...imports],
    controllers: [routesAt(base, decorators)],
    providers: [options, ParticipantAccessor, ParticipantHost],
    exports: [ParticipantHost],
    // A global module is initialised before the participants, which learn their names from it.
    global: true,
  };
}

/** A class of its own, so that what is written on it holds for this import of the module alone. */
function routesAt(path: string, decorators: readonly ClassDecorator[]): Type {
  const { HostController: routes } = { HostController: class extends HostController {} };
  Controller({ path, version: VERSION_NEUTRAL })(routes);
  for (const decorate of decorators) decorate(routes);
  return routes;
}
