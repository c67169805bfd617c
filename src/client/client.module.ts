import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { DeclarativeExplorer } from '../coordinator/declarative/declarative.explorer.js';
import { DeclarativeTransactions } from '../coordinator/declarative/declarative-transactions.js';
import { TransactionCarrier } from './carrier.js';
import {
  type ResolvedClientOptions,
  type TransactionClientAsyncOptions,
  type TransactionClientOptions,
  resolveClientOptions,
} from './client.options.js';
import { CLIENT_OPTIONS, TransactionManager } from './transaction-manager.js';

/** Without the option `carry` nothing is carried to any service. */
const CARRIES_NOTHING = { token: 'carries-no-transaction', origins: [] };

/**
 * The transactions of a coordinator in another process, for a Nest application: TransactionManager,
 * `@DistributedTransaction` and TransactionCarrier. Import it once, in the root module; it is global. Import
 * CoordinatorModule instead where the coordinator runs in this process.
 *
 * @publicApi
 */
@Module({})
export class TransactionClientModule {
  /** @throws InvalidOptionsError when an option is unknown, missing or impossible. */
  static forRoot(options: TransactionClientOptions): DynamicModule {
    return configured([], { provide: CLIENT_OPTIONS, useValue: resolveClientOptions(options) });
  }

  /**
   * As {@link TransactionClientModule.forRoot}, with what the application injects.
   *
   * @throws InvalidOptionsError at the start, as `forRoot` does.
   */
  static forRootAsync({
    imports = [],
    inject = [],
    useFactory,
  }: TransactionClientAsyncOptions): DynamicModule {
    return configured(imports, {
      provide: CLIENT_OPTIONS,
      inject,
      useFactory: async (...dependencies: unknown[]) =>
        resolveClientOptions(await useFactory(...dependencies)),
    });
  }
}

function configured(imports: NonNullable<DynamicModule['imports']>, options: Provider): DynamicModule {
  return {
    module: TransactionClientModule,
    global: true,
    imports: [DiscoveryModule, ...imports],
    providers: [
      options,
      TransactionManager,
      {
        provide: DeclarativeTransactions,
        inject: [TransactionManager],
        useFactory: (transactions: TransactionManager) => new DeclarativeTransactions(transactions),
      },
      DeclarativeExplorer,
      {
        provide: TransactionCarrier,
        inject: [TransactionManager, CLIENT_OPTIONS],
        useFactory: (transactions: TransactionManager, { carry }: ResolvedClientOptions) =>
          new TransactionCarrier(transactions, carry ?? CARRIES_NOTHING),
      },
    ],
    exports: [TransactionManager, TransactionCarrier, CLIENT_OPTIONS],
  };
}
