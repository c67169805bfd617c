import type { TransactionRecord } from '../../src/coordinator/execution/records.js';
import type { MemberProcess } from './member-process.js';
import type { MembersWorld } from './members-world.js';

/**
 * Looks whether a healed world of members has come to rest. An operator is at work as well, who deals with
 * heuristic reports.
 *
 * @returns what is left to do, or undefined when nothing is.
 */
export function leftoversOfMembers(world: MembersWorld): string | undefined {
  const prepared = stillPrepared(world);
  if (prepared !== undefined) return prepared;
  const { living, tables } = world;
  if (living.some(({ isReady }) => !isReady)) return 'a member has yet to start';
  // One member may wait for what another one has yet to end.
  for (const process of living) forgetEnded(process);
  for (const process of living) {
    const left = leftoversOf(process);
    if (left !== undefined) return `${process.label}: ${left}`;
  }
  if (world.queue.foreground > 0) return `${world.queue.foreground} messages are under way`;
  const epochs = new Set(living.map(({ ownEpoch }) => ownEpoch));
  for (const { epoch, isSettled, fencedBy, adoptedBy } of tables.epochs.values()) {
    if (!isSettled && !epochs.has(epoch))
      return `epoch ${epoch} is not settled (fenced by ${fencedBy}, adopted by ${adoptedBy})`;
  }
  for (const [id, { endedAt }] of tables.decisions)
    if (endedAt === null) return `the record of ${id} is still in the log`;
  for (const [key, { transactionId }] of tables.keys) {
    if (tables.decisions.has(transactionId) || world.isKeyFree(transactionId)) continue;
    // A person has decided on it: the log does not know how.
    if (!world.isUndecidable(transactionId))
      return `${transactionId} has not committed, and has the key ${key}`;
  }
  return forgetReports(world);
}

/**
 * A report of a run that was settled before it came is in the log, and in the memory of no living member,
 * once its member has died. The operator finds it in the log.
 */
function forgetReports({ tables, living, witnesses }: MembersWorld): string | undefined {
  for (const { id } of tables.reports.values()) {
    if (living.some(({ runtime }) => runtime!.registry.find(id) !== undefined))
      return `the report of ${id} is in the log`;
    witnesses.count('report that only the log has');
    void living[0]!.runtime!.log.shared!.forget(id);
  }
  return tables.reports.size > 0 ? 'reports are in the log' : undefined;
}

function stillPrepared({ participants }: MembersWorld): string | undefined {
  for (const { name, account } of participants) {
    const [prepared] = account.prepared();
    if (prepared !== undefined) return `${prepared.key} is still prepared at ${name}`;
  }
  return undefined;
}

function forgetEnded({ runtime, transactions }: MemberProcess): void {
  for (const transaction of runtime!.registry.unsettled) {
    if (transaction.hasHeuristics && transaction.endedAt !== 0) transactions!.forget(transaction.id);
  }
}

function leftoversOf({ runtime, waiting }: MemberProcess): string | undefined {
  const { registry } = runtime!;
  if (registry.inFlight > 0) return `${registry.inFlight} transactions are in flight`;
  let unfinished: TransactionRecord | undefined;
  registry.forEach((transaction) => {
    if (!transaction.isSettled) unfinished = transaction;
  });
  if (unfinished !== undefined) return `${unfinished.id} is ${unfinished.stateName}`;
  if (registry.unsettled.size > 0) return `${registry.unsettled.size} transactions are unsettled`;
  if (waiting > 0) return `${waiting} callers wait for their outcome`;
  return undefined;
}
