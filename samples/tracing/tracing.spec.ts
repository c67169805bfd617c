import { Test, type TestingModule } from '@nestjs/testing';
import { InMemorySpanExporter, type ReadableSpan } from '@opentelemetry/sdk-trace-base';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Bookings, BookingsModule } from './bookings.module.js';
import { startTracing } from './tracing.js';

describe('an application that traces', () => {
  let spans: ReadableSpan[];
  let stopTracing: () => Promise<void>;
  let app: TestingModule;

  /** Keeps what it has been given after it is shut down. */
  class KeepingExporter extends InMemorySpanExporter {
    override shutdown(): Promise<void> {
      spans = this.getFinishedSpans();
      return super.shutdown();
    }
  }

  beforeEach(async () => {
    stopTracing = startTracing(new KeepingExporter());
    app = await Test.createTestingModule({ imports: [BookingsModule] }).compile();
    await app.init();
  });

  async function book(city: string): Promise<string> {
    const { status } = await app.get(Bookings).book(city);
    await app.close();
    await stopTracing();
    return status;
  }

  function parentOf(name: string): string | undefined {
    const { parentSpanContext } = spans.find((span) => span.name === name)!;
    return spans.find((span) => span.spanContext().spanId === parentSpanContext?.spanId)?.name;
  }

  it("sees a booking as one trace, from the request to each participant's own requests", async () => {
    expect(await book('Lisbon')).toBe('committed');

    expect(new Set(spans.map((span) => span.spanContext().traceId)).size).toBe(1);
    expect(parentOf('transaction book-journey')).toBe('book a journey');
    expect(parentOf('prepare flights')).toBe('transaction book-journey');
    expect(parentOf('POST /seats/hold')).toBe('prepare flights');
    expect(parentOf('POST /rooms/book')).toBe('commit hotels');
  });

  it('sees the refusing participant, and the rollbacks', async () => {
    expect(await book('Atlantis')).toBe('aborted');

    const { attributes } = spans.find(({ name }) => name === 'transaction book-journey')!;
    expect(attributes).toMatchObject({ 'dtc.abort.participant': 'hotels', 'dtc.abort.code': 'NO_ROOM' });
    expect(parentOf('POST /seats/release')).toBe('rollback flights');
  });
});

describe('the program', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('writes its spans to the console', async () => {
    const names: unknown[] = [];
    vi.spyOn(console, 'dir').mockImplementation((span: { name: string }) => void names.push(span.name));
    const log = vi.spyOn(console, 'log').mockReturnValue();

    await import('./main.js');

    expect(log.mock.calls.map(([line]) => String(line).replace(/ \(.*/, ''))).toEqual([
      'Lisbon: committed',
      'Atlantis: aborted',
    ]);
    expect(names.filter((name) => name === 'transaction book-journey')).toHaveLength(2);
    expect(names).toContain('rollback flights');
  });
});
