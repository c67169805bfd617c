import { type Alarm, alarmOf } from '../coordinator/observation/alarms/alarm.js';
import type { OutboxStatus } from './status.js';

/** As the rule DtcOutboxLate. */
const LATE_MS = 300_000;

/** @returns the alarms of the outboxes, by the conditions of the alert rules. */
export function alarmsOf(outboxes: readonly OutboxStatus[]): Alarm[] {
  return outboxes.flatMap(({ name, held, problem, hanging }) => {
    if (problem !== undefined) return [alarmOf('DtcOutboxDown', name, { cause: problem })];
    if (held === undefined) return [];
    const { dead, waiting, oldestMs } = held;
    const unit = 'messages' as const;
    return [
      ...(dead > 0 ? [alarmOf('DtcOutboxDead', name, { count: dead, unit })] : []),
      ...(oldestMs > LATE_MS
        ? [
            alarmOf('DtcOutboxLate', name, {
              ...late(hanging),
              count: waiting,
              unit,
              since: beforeNow(oldestMs),
            }),
          ]
        : []),
    ];
  });
}

/** @returns the cause, where it is known. */
function late(hanging: number): { readonly cause?: string } {
  if (hanging === 0) return {};
  return { cause: `attempts that go on after their time: ${hanging}` };
}

/** In whole minutes, so that an outbox that is counted again does not look like news. */
function beforeNow(ms: number): string {
  const MINUTE_MS = 60_000;
  return new Date(Math.floor((Date.now() - ms) / MINUTE_MS) * MINUTE_MS).toISOString();
}
