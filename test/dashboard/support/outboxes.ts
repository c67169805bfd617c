import type { DeadMessageView, OutboxView } from '../../../dashboard/src/api/views.js';
import { FakeProblem } from './callers.js';
import { STALLED_ID, type Scenario, nowOf } from './scenario.js';

/** The content of the dead messages. */
const PAYLOAD = '{"orderId":"4711","note":"<b>urgent</b>"}';

/** The answers about an outbox with dead messages, and about one whose database is away. */
export function outboxesOf(scenario: Scenario): { readonly outboxes: readonly OutboxView[] } {
  const counts = { sent: 12_345, retried: 7, sending: 1, hanging: 0 };
  const held = { waiting: 3, oldestMs: 95_000, dead: deadOf(scenario).length };
  return {
    outboxes: [
      { name: 'orders', held, ...counts, problem: null },
      { name: 'audit', held: null, ...counts, problem: 'connect ECONNREFUSED 10.0.0.7:5432' },
    ],
  };
}

/** @throws FakeProblem */
export function outboxPart(scenario: Scenario, path: readonly string[]): unknown {
  const [, outbox, , id] = path;
  if (outbox !== 'orders') {
    throw new FakeProblem(
      503,
      'DTC_OUTBOX_UNREACHABLE',
      'The database of the outbox "audit" does not answer.',
    );
  }
  const messages = deadOf(scenario);
  if (id === undefined) return { messages, nextCursor: null };
  return { ...messages.find((message) => message.id === id)!, payload: PAYLOAD };
}

/** Sends messages again, or deletes them. */
export function actOnMessages(scenario: Scenario, ids: readonly string[]): unknown {
  const before = deadOf(scenario).length;
  scenario.deadMessages = scenario.deadMessages.filter((id) => !ids.includes(id));
  const done = before - deadOf(scenario).length;
  return { done, left: ids.length - done };
}

function deadOf(scenario: Scenario): DeadMessageView[] {
  return scenario.deadMessages.map((id, index) => ({
    id,
    topic: 'order.created',
    key: index === 0 ? 'customer-0815-with-a-rather-long-key-of-its-own' : null,
    position: index + 1,
    transactionId: STALLED_ID,
    writtenAt: new Date(nowOf(scenario) - 3_600_000).toISOString(),
    attempts: 20,
    error: 'getaddrinfo ENOTFOUND mailer.internal.example <script>alert(1)</script>',
  }));
}
