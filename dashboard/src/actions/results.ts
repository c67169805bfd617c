import type { GroupResult, MessageResult } from '../api/views.js';
import { formatCount } from '../words/numbers.js';
import type { Action } from './action.js';
import { messageOf, shortfallOf } from './group-actions.js';

/** What became of an action: a message, and a sentence for each reason why a part of it was not done. */
export interface Result {
  readonly message: string;
  readonly rest: readonly string[];
}

/** @param answer of the coordinator. */
export function resultOf({ targets, ids, done }: Action, answer: unknown): Result {
  if (targets !== undefined) {
    const result = answer as GroupResult;
    return { message: messageOf(result, done), rest: shortfallOf(result) };
  }
  return ids === undefined ? { message: done, rest: [] } : resultOfMessages(answer as MessageResult, done);
}

function resultOfMessages({ done, left }: MessageResult, what: string): Result {
  const message =
    left === 0
      ? `${formatCount(done)} ${what}.`
      : `${formatCount(done)} of ${formatCount(done + left)} ${what}.`;
  const why =
    'no longer dead, or a transaction that is still open holds the key. In that case try again when it has ended.';
  return { message, rest: left === 0 ? [] : [`${formatCount(left)} left: ${why}`] };
}
