import { type DynamicModule, Module, StandardSchemaValidationPipe } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { TransactionClientModule } from 'nestjs-dtc/client';
import { ProblemFilter } from 'nestjs-dtc/problem';
import { type GatewaySettings, tokensIn } from '../common/settings.js';
import { OrdersController } from './orders.controller.js';
import { ORDER_SERVICE, Shop } from './shop.service.js';

/** The gateway: it has no data, and runs transactions at the coordinators. */
@Module({})
export class GatewayModule {
  static forRoot(settings: GatewaySettings): DynamicModule {
    return {
      module: GatewayModule,
      imports: [
        TransactionClientModule.forRoot({
          members: settings.COORDINATORS.map((url) => `${url}/dtc`),
          token: tokensIn(settings, 'caller'),
          giveUpAfterMs: 10_000,
          carry: {
            token: tokensIn(settings, 'carrier'),
            origins: [new URL(settings.ORDER_SERVICE).origin],
          },
        }),
      ],
      controllers: [OrdersController],
      providers: [
        Shop,
        { provide: ORDER_SERVICE, useValue: settings.ORDER_SERVICE },
        { provide: APP_PIPE, useClass: StandardSchemaValidationPipe },
        { provide: APP_FILTER, useClass: ProblemFilter },
      ],
    };
  }
}
