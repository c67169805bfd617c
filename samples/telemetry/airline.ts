import { Body, Controller, Module, Put } from '@nestjs/common';
import { type Span, trace } from '@opentelemetry/api';
import {
  type Branch,
  Participant,
  ParticipantHostModule,
  type TransactionParticipant,
  type Vote,
} from '../../src/host/index.js';
import { serve } from './serve.js';

/** An airline that sells seats. While it is closed, no held seat can be sold. */
class Desk {
  isOpen = true;
}

@Controller('desk')
class DeskController {
  constructor(private readonly desk: Desk) {}

  /** Stands for an airline that is down for a while. */
  @Put()
  change(@Body() { isOpen }: { readonly isOpen: boolean }): void {
    this.desk.isOpen = isOpen;
  }
}

/** Sells seats. It runs in a process of its own, and the coordinator calls it over HTTP. */
@Participant({ name: 'flights' })
class Flights implements TransactionParticipant<string> {
  constructor(private readonly desk: Desk) {}

  prepare(branch: Branch<string>): Vote {
    return inSpan('hold a seat', branch, () => 'commit');
  }

  commit(branch: Branch<string>): void {
    inSpan('sell the seat', branch, () => {
      if (!this.desk.isOpen) throw new Error('the desk is closed');
    });
  }

  rollback(branch: Branch<string | undefined>): void {
    inSpan('release the seat', branch, () => {});
  }
}

/** A span of the participant's own: it belongs to the trace of the customer's request. */
function inSpan<T>(name: string, { requestId }: Branch, work: () => T): T {
  return trace.getTracer('airline').startActiveSpan(name, (span: Span) => {
    try {
      if (requestId !== undefined) span.setAttribute('request.id', requestId);
      return work();
    } finally {
      span.end();
    }
  });
}

@Module({
  imports: [ParticipantHostModule.forRoot({ credentials: process.env['TOKEN']!, guard: 'memory' })],
  controllers: [DeskController],
  providers: [Desk, Flights],
})
class AirlineModule {}

await serve(AirlineModule);
