import { plural } from '../words/numbers.js';
import type { Action } from './action.js';

/** The most messages of one request, as the coordinator takes them. */
export const MAX_MESSAGES = 100;

/** @returns the action that sends dead messages again. */
export function resend(outbox: string, ids: readonly string[], isAll = false): Action {
  const counted = plural(ids.length, 'message');
  return {
    kind: 'resend',
    label: isAll ? 'Send all again' : 'Send again',
    title: `Send ${counted} of ${outbox} again?`,
    target: isAll ? outbox : ids.join(', '),
    consequences: [
      'Each is sent with all its attempts. If the receiver had it before, it gets it twice, with the same id.',
      'A message with a key comes after those of its key that are there. While a transaction that is open holds the key, it stays dead.',
    ],
    confirm: `Send ${counted} again`,
    done: 'to be sent again',
    path: `outboxes/${encodeURIComponent(outbox)}/resend`,
    ids,
    isFinal: false,
  };
}

/** @returns the action that deletes dead messages. */
export function discard(outbox: string, ids: readonly string[]): Action {
  const counted = plural(ids.length, 'message');
  return {
    kind: 'discard',
    label: 'Delete',
    title: `Delete ${counted} of ${outbox}?`,
    target: ids.join(', '),
    consequences: [
      'It is never sent, and what it says is gone. Its transaction stays committed.',
      'Do this when its receiver needs it no more, or has got it in another way.',
    ],
    confirm: `Delete ${counted}`,
    done: 'deleted',
    path: `outboxes/${encodeURIComponent(outbox)}/discard`,
    ids,
    isFinal: true,
  };
}
