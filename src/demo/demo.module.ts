import { Module } from '@nestjs/common';
import { DemoController } from './demo.controller.js';
import { Faults } from './faults.js';

/** For demonstrations: every participant can be made to fail. Imported only when DEMO is true. */
@Module({ controllers: [DemoController], providers: [Faults] })
export class DemoModule {}
