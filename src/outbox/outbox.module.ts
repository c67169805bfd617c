import { type DynamicModule, Module, type ModuleMetadata } from '@nestjs/common';
import {
  OUTBOX_OPTIONS,
  type OutboxAsyncOptions,
  type OutboxOptions,
  resolveOutboxOptions,
} from './outbox.options.js';
import { OutboxRelays } from './outbox-relays.js';

/**
 * Sends the messages that branches have written into their databases, as soon as their transactions have
 * committed. Import it once. It loads no coordinator, so it works beside CoordinatorModule, in a participant
 * host, and in a process of its own.
 *
 * @publicApi
 */
@Module({})
export class OutboxModule {
  /** @throws InvalidOptionsError when an option is impossible. */
  static forRoot(options: OutboxOptions): DynamicModule {
    return relaying({ provide: OUTBOX_OPTIONS, useValue: resolveOutboxOptions(options) });
  }

  /**
   * As {@link OutboxModule.forRoot}, with what the application injects.
   *
   * @throws InvalidOptionsError at the start.
   */
  static forRootAsync({ imports = [], inject = [], useFactory }: OutboxAsyncOptions): DynamicModule {
    const make = useFactory as (...injected: unknown[]) => OutboxOptions | Promise<OutboxOptions>;
    return relaying(
      {
        provide: OUTBOX_OPTIONS,
        inject: [...inject] as never[],
        useFactory: async (...injected: unknown[]) => resolveOutboxOptions(await make(...injected)),
      },
      imports,
    );
  }
}

function relaying(
  options: NonNullable<ModuleMetadata['providers']>[number],
  imports: NonNullable<ModuleMetadata['imports']> = [],
): DynamicModule {
  return {
    module: OutboxModule,
    imports: [...imports],
    providers: [options, OutboxRelays],
    exports: [OutboxRelays],
    global: true,
  };
}
