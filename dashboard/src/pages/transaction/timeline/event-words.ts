import type { TimelineEntry } from '../../../api/views.js';

/** @returns the event as a text; an unknown event keeps its name. */
export function describeEvent({ event, attempt, detail }: TimelineEntry): string {
  const numbered = attempt === undefined ? 'an attempt' : `attempt ${attempt}`;
  switch (event) {
    case 'begun':
      return 'began';
    case 'grouped':
      return 'prepared with others';
    case 'preparing':
      return 'asked all branches to prepare';
    case 'voted':
      return `voted ${detail ?? ''}`.trim();
    case 'refused':
      return 'voted abort';
    case 'prepare-failed':
      return 'failed to prepare';
    case 'prepare-timed-out':
      return 'did not vote in time';
    case 'late-answer':
      return 'answered too late';
    case 'decided':
      return `${detail ?? ''} decided`.trim();
    case 'committed':
      return attempt === undefined ? 'committed' : `committed at ${numbered}`;
    case 'rolled-back':
      return attempt === undefined ? 'rolled back' : `rolled back at ${numbered}`;
    case 'attempt-failed':
      return `${numbered} failed`;
    case 'attempt-timed-out':
      return `${numbered} timed out`;
    case 'stalled':
      return 'stalled: left to the recovery job';
    case 'heuristic':
      return 'reported a heuristic outcome';
    case 'reopened':
      return 'found prepared: receives the decision again';
    case 'record-unknown':
      return 'not known whether the decision record was written';
    case 'held':
      return 'held: its participant is paused';
    case 'vote-expiring':
      return 'its vote expires soon';
    case 'vote-expired':
      return 'its vote expired';
    case 'ended':
      return 'ended';
    default:
      return event;
  }
}
