import { Module } from '@nestjs/common';
import { CoordinatorModule } from 'nestjs-dtc';
import { NorthBank, SouthBank } from './banks.js';
import { TransfersService } from './transfers.service.js';

@Module({
  imports: [CoordinatorModule.forRoot({ name: 'transfers', timeoutMs: 2_000 })],
  providers: [NorthBank, SouthBank, TransfersService],
})
export class AppModule {}
