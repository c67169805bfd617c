import { type DynamicModule, Module, type ModuleMetadata } from '@nestjs/common';
import { type RemoteParticipantsOptions, resolveRemoteOptions } from './options.js';
import { REMOTE_OPTIONS, RemoteParticipants } from './remote-participants.js';

/** The options of `forRootAsync`. @publicApi */
export interface RemoteParticipantsAsyncOptions {
  readonly imports?: ModuleMetadata['imports'];
  readonly inject?: readonly unknown[];
  /** Makes the options from what is injected. */
  readonly useFactory: (
    ...injected: never[]
  ) => RemoteParticipantsOptions | Promise<RemoteParticipantsOptions>;
}

/**
 * Adds participants in other processes to a coordinator. Import it once, beside CoordinatorModule.
 *
 * @publicApi
 */
@Module({})
export class RemoteParticipantsModule {
  /** @throws InvalidOptionsError when an option is impossible. */
  static forRoot(options: RemoteParticipantsOptions): DynamicModule {
    return reaching({ provide: REMOTE_OPTIONS, useValue: resolveRemoteOptions(options) });
  }

  /** As {@link RemoteParticipantsModule.forRoot}. @throws InvalidOptionsError at the start. */
  static forRootAsync({
    imports = [],
    inject = [],
    useFactory,
  }: RemoteParticipantsAsyncOptions): DynamicModule {
    const make = useFactory as (
      ...injected: unknown[]
    ) => RemoteParticipantsOptions | Promise<RemoteParticipantsOptions>;
    return reaching(
      {
        provide: REMOTE_OPTIONS,
        inject: [...inject] as never[],
        useFactory: async (...injected: unknown[]) => resolveRemoteOptions(await make(...injected)),
      },
      imports,
    );
  }
}

function reaching(
  options: NonNullable<ModuleMetadata['providers']>[number],
  imports: NonNullable<ModuleMetadata['imports']> = [],
): DynamicModule {
  return {
    module: RemoteParticipantsModule,
    imports: [...imports],
    providers: [options, RemoteParticipants],
    exports: [RemoteParticipants],
    global: true,
  };
}
