import { setTimeout } from 'node:timers/promises';
import { Injectable, Module } from '@nestjs/common';
import { trace } from '@opentelemetry/api';
import {
  CoordinatorModule,
  type Outcome,
  Participant,
  TransactionManager,
  type TransactionParticipant,
  type Vote,
  branch,
  refuse,
} from '../../src/coordinator/index.js';

/** A span of the application's own. */
function inSpan<T>(name: string, work: () => Promise<T>): Promise<T> {
  return trace.getTracer('bookings').startActiveSpan(name, (span) => work().finally(() => span.end()));
}

/** Stands for a request to another service. An instrumented client makes such a span by itself. */
function request(path: string): Promise<void> {
  return inSpan(`POST ${path}`, () => setTimeout(5));
}

@Participant({ name: 'flights' })
export class Flights implements TransactionParticipant<string> {
  async prepare(): Promise<Vote> {
    await request('/seats/hold');
    return 'commit';
  }

  commit(): Promise<void> {
    return request('/seats/book');
  }

  rollback(): Promise<void> {
    return request('/seats/release');
  }
}

@Participant({ name: 'hotels' })
export class Hotels implements TransactionParticipant<string> {
  async prepare({ payload: city }: { readonly payload: string }): Promise<Vote> {
    await request('/rooms/hold');
    return city === 'Atlantis' ? refuse('NO_ROOM', 'no hotel there') : 'commit';
  }

  commit(): Promise<void> {
    return request('/rooms/book');
  }

  rollback(): Promise<void> {
    return request('/rooms/release');
  }
}

@Injectable()
export class Bookings {
  constructor(private readonly transactions: TransactionManager) {}

  /** Books a seat and a room, or neither. */
  book(city: string): Promise<Outcome> {
    const branches = [branch(Flights, city), branch(Hotels, city)];
    return inSpan('book a journey', () => this.transactions.run({ name: 'book-journey', branches }));
  }
}

@Module({ imports: [CoordinatorModule.forRoot()], providers: [Flights, Hotels, Bookings] })
export class BookingsModule {}
