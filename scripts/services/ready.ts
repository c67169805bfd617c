import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { PARTICIPANTS } from './tokens.js';

/** The services register again after this time, if their first attempt came too early. */
const LIMIT_MS = 60_000;
const LOOK_MS = 50;

/**
 * Waits until each coordinator takes branches of all three services: they have registered, and have accepted
 * its run.
 *
 * @param token of a caller.
 * @param signal ends the wait.
 * @throws Error when this takes too long.
 */
export async function untilReady(
  coordinators: readonly string[],
  token: string,
  signal?: AbortSignal,
): Promise<void> {
  const end = performance.now() + LIMIT_MS;
  for (const coordinator of coordinators) {
    while (!(await takesBranches(coordinator, token))) {
      if (signal?.aborted === true) return;
      if (performance.now() > end) {
        throw new Error(
          `${coordinator} does not know all services after ${LIMIT_MS / 1_000} s. Their lines say why.`,
        );
      }
      await delay(LOOK_MS);
    }
  }
}

/** Checks this with a transaction that is rolled back. */
async function takesBranches(coordinator: string, token: string): Promise<boolean> {
  const post = (path: string, body: object): Promise<Response> =>
    fetch(`${coordinator}/dtc/transactions${path}`, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        Authorization: `Bearer ${token}`,
        'Idempotency-Key': randomUUID(),
      },
      body: JSON.stringify(body),
    });
  const begun = await post('', { name: 'start-up check' });
  if (!begun.ok) return false;
  const { transactionId } = (await begun.json()) as { readonly transactionId: string };
  const enlisted = await Promise.all(
    PARTICIPANTS.map((participant) =>
      post(`/${transactionId}/branches`, { participant, branchId: participant }),
    ),
  );
  await post(`/${transactionId}/rollback`, {});
  return enlisted.every(({ ok }) => ok);
}
