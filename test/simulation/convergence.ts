import type { TransactionRecord } from '../../src/coordinator/execution/records.js';
import type { CaseFile } from './case-file.js';
import type { LoneWorld } from './lone-world.js';
import type { World } from './world.js';

/** All is well, but for records whose end was lost on the way to the log: the next start has to drop them. */
export const END_LOST = 'records are in the log whose end was lost';

/**
 * Looks whether a healed world has come to rest. An operator is at work as well, who deals with heuristic
 * reports.
 *
 * @returns what is left to do, or undefined when nothing is and nothing ever will be; then every end is
 * compared.
 */
export function leftovers(world: LoneWorld): string | undefined {
  const [process, ...others] = world.processes.filter(({ isAlive }) => isAlive);
  if (others.length > 0 || !process?.isReady) return 'no coordinator, or too many';
  const { registry } = process.runtime!;
  for (const transaction of registry.unsettled) {
    if (transaction.hasHeuristics && transaction.endedAt !== 0) process.transactions!.forget(transaction.id);
  }
  for (const { name, account } of world.participants) {
    const [prepared] = account.prepared();
    if (prepared !== undefined) return `${prepared.key} is still prepared at ${name}`;
  }
  for (const id of world.storage.records.keys()) {
    if (!world.storage.released.has(id)) return `the record of ${id} is still in the log`;
  }
  if (registry.inFlight > 0) return `${registry.inFlight} transactions are in flight`;
  let unfinished: TransactionRecord | undefined;
  registry.forEach((transaction) => {
    if (!transaction.isSettled) unfinished = transaction;
  });
  if (unfinished !== undefined) return `${unfinished.id} is ${unfinished.stateName}`;
  if (registry.unsettled.size > 0) return `${registry.unsettled.size} transactions are unsettled`;
  if (process.waiting > 0) return `${process.waiting} callers wait for their outcome`;
  if (world.queue.foreground > 0) return `${world.queue.foreground} messages are under way`;
  if (world.storage.records.size + world.storage.reports.size > 0) return END_LOST;
  compareEnds(world);
  return undefined;
}

/** AC1 and AC5 at the end of all things, and the sum of the money. */
export function compareEnds(world: World): void {
  const { judge, participants, witnesses, faults } = world;
  for (const file of judge.cases.values()) {
    if (!file.isHeuristic) compareEnd(world, file);
    else witnesses.count('transaction with a heuristic end');
    if (file.refused && file.decision === 'commit')
      judge.violate(`${file.id}: its record was refused, and commit was decided`);
    if (file.decision === undefined) continue;
    witnesses.count(file.decision === 'commit' ? 'transaction committed' : 'transaction aborted');
    if (faults.isCalm) witnesses.count('calm transaction');
  }
  witnesses.count('transaction', judge.cases.size);
  let balance = 0;
  let held = 0;
  let opening = 0;
  for (const { account, name } of participants) {
    if (account.balance !== account.balanceByEntries)
      judge.violate(`${name}: the balance is not that of its entries`);
    balance += account.balance;
    held += account.held;
    opening += account.opening;
  }
  if (held !== 0) judge.violate(`${held} of the money is held for nothing`);
  const isHeuristic = witnesses.of('participant ends heuristically') > 0;
  if (balance !== opening && !isHeuristic)
    judge.violate(`there was ${opening} of the money, and now ${balance}`);
}

function compareEnd({ judge }: World, file: CaseFile): void {
  const { id, entries, recorded, onePhase, decision, told, group } = file;
  const states = [...entries.values()].map(({ state }) => state);
  const committed = states.filter((state) => state === 'committed').length;
  const readOnly = states.filter((state) => state === 'read-only').length;
  if (committed > 0 && committed + readOnly !== states.length)
    judge.violate(`${id}: some have committed and others not (${states.join(', ')})`);
  if (committed > 0 && !recorded && !onePhase) judge.violate(`${id}: committed without a record`);
  // A member that has changed nothing is committed with its group.
  const isReader = group !== undefined && readOnly === states.length;
  if (recorded && committed === 0 && !isReader)
    judge.violate(`${id}: its commit was recorded, but no participant has committed`);
  if (told === 'committed' && decision !== 'commit')
    judge.violate(`${id}: told committed, and ${decision} came of it`);
  if (told === 'aborted' && committed > 0) judge.violate(`${id}: told aborted, and it has committed`);
}
