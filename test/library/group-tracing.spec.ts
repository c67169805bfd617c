import { trace } from '@opentelemetry/api';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterEach, expect, it } from 'vitest';
import { Shop, turns } from '../../src/coordinator/groups/shop.fixture.js';
import { Stock } from '../../src/coordinator/groups/stock.fixture.js';
import { OpenTelemetryTracing } from '../../src/coordinator/observation/tracing/open-telemetry-tracing.js';

const MORE_TEA = { take: { tea: -1 } };

afterEach(() => trace.disable());

it('the span of a group has its size and its runs, and the span of each member links to it', async () => {
  const exporter = new InMemorySpanExporter();
  const spanProcessors = [new SimpleSpanProcessor(exporter)];
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors }));
  const shop = new Shop({ one: new Stock(), two: new Stock() });
  const defects: unknown[] = [];
  const tracing = new OpenTelemetryTracing({ defect: (error) => void defects.push(error) });
  Object.assign(shop.coordinator.runtime.observers, { tracing });
  const outcomes = await shop.behind(() => [
    shop.run(MORE_TEA),
    shop.run({ take: { milk: 1 } }),
    shop.run(MORE_TEA),
  ]);
  await turns();
  expect(outcomes.map(({ status }) => status)).toEqual(['committed', 'aborted', 'committed']);
  const spans = exporter.getFinishedSpans();
  const spanOf = (id: string) =>
    spans.find(
      ({ name, attributes }) =>
        attributes['dtc.transaction.id'] === id && !/ (one|two)$|^decision$/.test(name),
    )!;
  const groupId = shop.log.appended[1]!.id;
  const group = spanOf(groupId);
  const shown = { 'dtc.group.id': groupId, 'dtc.group.size': 2, 'dtc.group.runs': 2 };
  expect(group.attributes).toMatchObject({ ...shown, 'dtc.decision': 'commit' });
  // It belongs to no caller.
  expect([group.parentSpanContext, group.links]).toEqual([undefined, []]);
  for (const index of [0, 2]) {
    const member = spanOf(outcomes[index]!.transactionId);
    expect(member.attributes).toMatchObject(shown);
    expect(member.links.map(({ context }) => context)).toEqual([group.spanContext()]);
  }
  const refused = spanOf(outcomes[1]!.transactionId);
  expect([refused.attributes['dtc.group.id'], refused.links]).toEqual([undefined, []]);
  // The prepare and the commit of the group are parts of its trace, and its members have none.
  const calls = spans.filter(({ name }) => / (one|two)$/.test(name));
  expect(calls.filter(({ attributes }) => attributes['dtc.transaction.id'] === groupId)).toHaveLength(4);
  expect(defects).toEqual([]);
});
