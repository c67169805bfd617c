import { type DynamicModule, Module } from '@nestjs/common';
import { AccountController } from './account.controller.js';
import { DemoController } from './demo.controller.js';
import { DEMO_SETTINGS, type DemoSettings } from './demo.settings.js';
import { Faults } from './faults.js';
import { LoadController } from './load.controller.js';
import { PageController } from './page.controller.js';
import { SteadyLoad } from './steady-load.js';
import { Supplies } from './supplies.js';
import { SuppliesController } from './supplies.controller.js';

/**
 * For demonstrations: every participant can be made to fail, under steady traffic, and an operator can act.
 * Imported only when DEMO is true.
 */
@Module({})
export class DemoModule {
  /** @param shop the module of the orders, as the application imports it. */
  static forRoot(shop: DynamicModule, settings: DemoSettings): DynamicModule {
    return {
      module: DemoModule,
      imports: [shop],
      controllers: [PageController, AccountController, DemoController, LoadController, SuppliesController],
      providers: [Faults, SteadyLoad, Supplies, { provide: DEMO_SETTINGS, useValue: settings }],
    };
  }
}
