import type { OutboxView } from '../api/views.js';
import { formatAge } from './durations.js';
import { formatCount, plural } from './numbers.js';

/** Where counting ends. */
const MOST_COUNTED = 10_000;

/** @returns how an outbox is, in a sentence or two. */
export function outboxWords({ held, problem, sending, hanging, sent }: OutboxView): string {
  if (problem !== null) return `Its database does not answer: ${problem}`;
  if (held === null) return 'Its messages have not been counted yet.';
  const { waiting, oldestMs, dead } = held;
  const age = waiting === 0 ? '' : `, the oldest for ${formatAge(oldestMs)}`;
  const stuck =
    hanging === 0
      ? ''
      : ` ${plural(hanging, 'attempt')} ${hanging === 1 ? 'goes' : 'go'} on after the time is up.`;
  return (
    `${counted(waiting, 'message waits', 'messages wait')}${age}; ${counted(dead, 'is dead', 'are dead')}. ` +
    `This process is sending ${formatCount(sending)}, and has sent ${formatCount(sent)} since its start.${stuck}`
  );
}

function counted(count: number, one: string, several: string): string {
  const number = count === MOST_COUNTED ? `${formatCount(count)} or more` : formatCount(count);
  return `${number} ${count === 1 ? one : several}`;
}
