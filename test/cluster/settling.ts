import { setTimeout as pause } from 'node:timers/promises';
import type { Callers } from './callers.js';
import type { Cluster } from './cluster.js';
import { judge } from './judge.js';
import { PARTICIPANTS } from './messages.js';

/** How long everything that was prepared may take to end, beyond the lease, as DISTRIBUTED has it. */
const SETTLED_AFTER_LEASE_MS = 2_000;
/** The delay that a machine with two busy cores may cause. */
export const MARGIN_MS = 5_000;
/** After this nothing at all is open. */
const UNRESOLVED_LIMIT_MS = 30_000;
const POLL_MS = 50;
/**
 * The number of transactions that are asked for at every member, besides those whose callers have no final
 * answer.
 */
const SAMPLE = 40;
/** More files and connections than these a member has open only when it forgets to close them. */
const MOST_OPEN_FILES = 150;

/** The result of the time after the last fault. */
export interface Settled {
  readonly wrong: readonly string[];
  /** After which time nothing was prepared any more, in milliseconds. */
  readonly settledMs: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly openFiles: number;
}

/** @returns the longest time until nothing is prepared any more. */
export function settleLimitMs(leaseMs: number): number {
  return leaseMs + SETTLED_AFTER_LEASE_MS + MARGIN_MS;
}

/** Waits until everything has come to its end, and holds what was told against the books. */
export async function settle(cluster: Cluster, callers: Callers): Promise<Settled> {
  const quietAt = performance.now();
  const limitMs = settleLimitMs(cluster.leaseMs);
  const wrong: string[] = [];
  const isPreparedLeft = async (): Promise<boolean> => (await cluster.books.prepared()).length > 0;
  const isSettled = await within(quietAt + limitMs, async () => !(await isPreparedLeft()));
  const settledMs = performance.now() - quietAt;
  if (!isSettled) {
    const left = await cluster.books.prepared();
    wrong.push(`after ${limitMs} ms of quiet this is prepared: ${left.join(', ')}`);
  }
  const patience = setTimeout(() => callers.giveUp(), quietAt + limitMs - performance.now());
  await callers.inquired();
  clearTimeout(patience);
  wrong.push(...(await unresolved(cluster, quietAt + UNRESOLVED_LIMIT_MS)));
  const { counts, wrong: told } = await reckon(cluster, callers);
  wrong.push(...told);
  if (await isPreparedLeft())
    wrong.push(`this was prepared late: ${(await cluster.books.prepared()).join(', ')}`);
  const files = cluster.members.map(({ openFiles = 0 }) => openFiles);
  const openFiles = Math.max(...files);
  if (openFiles > MOST_OPEN_FILES) wrong.push(`members have ${files.join(', ')} files and connections open`);
  return { wrong, settledMs, counts, openFiles };
}

/** Everything that is open: at the members, in the log, or in a session of a process that is gone. */
async function unresolved(cluster: Cluster, endMs: number): Promise<string[]> {
  let state: unknown;
  const isResolved = await within(endMs, async () => {
    const inLog = await cluster.openInLog();
    const sessions = await cluster.books.sessionsBesides(cluster.members.map(({ name }) => name));
    const standings = await Promise.all(cluster.members.map((member) => member.standing()));
    state = { inLog, sessions, standings };
    const open = standings.map((one) =>
      one === undefined ? 1 : one.inFlight + one.stalled + one.heuristic + (one.accepting ? 0 : 1),
    );
    const inAll = inLog.decisions + inLog.epochs.length + inLog.reports + sessions;
    return open.reduce((sum, one) => sum + one, inAll) === 0;
  });
  return isResolved
    ? []
    : [`after ${UNRESOLVED_LIMIT_MS} ms of quiet this is unresolved: ${JSON.stringify(state)}`];
}

async function reckon(
  cluster: Cluster,
  callers: Callers,
): Promise<{ wrong: string[]; counts: Record<string, number> }> {
  const all = callers.take();
  const { books } = cluster;
  const wrong = await books.faults();
  const markers = await books.markers(all.map(({ order }) => order.key));
  const counts: Record<string, number> = {};
  const truth = new Map<string, boolean>();
  for (const asked of all) {
    const { order, answer, ids } = asked;
    const found = PARTICIPANTS.map((_, index) => markers[index]!.get(order.key) ?? []);
    wrong.push(...judge(asked, { ids: found }));
    const told = answer === undefined ? 'nothing' : kindOf(answer);
    counts[told] = (counts[told] ?? 0) + 1;
    if (answer !== undefined && 'told' in answer) ids.add(answer.told.transactionId);
    const done = new Set(found.flat());
    if (order.manner !== 'read-only') for (const id of ids) truth.set(id, done.has(id));
    else if (told === 'committed') truth.set([...ids].at(-1)!, true);
  }
  return { wrong: [...wrong, ...(await askAll(cluster, sampleOf([...truth])))], counts };
}

/** Every member is asked for the same transactions, and gives no other answer than the true one. */
async function askAll(cluster: Cluster, sample: readonly (readonly [string, boolean])[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const [id, isDone] of sample) {
    const answers = await Promise.all(cluster.members.map((member) => member.outcomeOf(id)));
    const finals = answers.filter((known) => known?.status === 'committed' || known?.status === 'aborted');
    const contradicts = finals.some((known) => (known!.status === 'committed') !== isDone);
    if (finals.length === 0 || contradicts)
      wrong.push(`${id} is ${isDone ? 'done' : 'not done'}, and members say ${JSON.stringify(answers)}`);
  }
  return wrong;
}

/** @returns some of all, from each part of them. */
function sampleOf<T>(all: readonly T[]): T[] {
  const step = Math.max(1, Math.floor(all.length / SAMPLE));
  return all.filter((_, index) => index % step === 0);
}

function kindOf(answer: { told: { status: string } } | { refused: string } | { nothing: true }): string {
  if ('told' in answer) return answer.told.status;
  return 'refused' in answer ? 'refused' : 'unanswered';
}

async function within(endMs: number, holds: () => Promise<boolean>): Promise<boolean> {
  for (;;) {
    if (await holds()) return true;
    if (performance.now() > endMs) return false;
    await pause(POLL_MS);
  }
}
