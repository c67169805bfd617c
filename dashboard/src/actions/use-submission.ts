import { useRef, useState } from 'preact/hooks';
import type { Client } from '../api/client.js';
import { NoAnswerError, describeProblem } from '../api/problem.js';
import type { ActionBody } from './action.js';

/** The submission of one action to the coordinator. */
export interface Submission {
  readonly isBusy: boolean;
  /** Why it was not done, for people. */
  readonly problem: string | null;
  /** Sends it. During a submission, this does nothing. */
  readonly send: (body: ActionBody) => Promise<void>;
}

/** @param onSent called with the answer, once the coordinator has confirmed it. */
export function useSubmission(client: Client, path: string, onSent: (answer: unknown) => void): Submission {
  const isSending = useRef(false);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);

  async function send(body: ActionBody): Promise<void> {
    // The state of the button comes too late for a second click in the same moment.
    if (isSending.current) return;
    isSending.current = true;
    setBusy(true);
    setProblem(null);
    try {
      onSent(await client.post<unknown>(path, body));
    } catch (error) {
      setProblem(describeFailure(error));
    } finally {
      isSending.current = false;
      setBusy(false);
    }
  }

  return { isBusy, problem, send };
}

function describeFailure(error: unknown): string {
  if (!(error instanceof NoAnswerError)) return `Not done. ${describeProblem(error)}`;
  return 'There was no answer, so the action may or may not have been done. Check the audit trail before you try again.';
}
