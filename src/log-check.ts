import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { CommitRecord } from './coordinator/index.js';
import { SqliteDecisionLog } from './sqlite/index.js';

/** What a log holds. */
export interface LogCheck {
  /**
   * Whether no decision waits for its end and no report for an operator: then the log is needed no longer.
   */
  readonly isEmpty: boolean;
  /** The same for a person: a line for each decision and each report, and what to do. */
  readonly lines: readonly string[];
}

/**
 * Says what an embedded log holds, whose process has ended. This is a start of the log: it has one epoch less
 * to give out.
 *
 * @param path the folder of the logs (`DECISION_LOG_PATH`).
 * @param name of the coordinator (`DTC_NAME`).
 * @throws Error when there is no such log; LogInUseError while a process runs on it; the other errors of a
 * start.
 */
export async function checkLog(path: string, name: string): Promise<LogCheck> {
  const folder = join(path, name);
  if (!existsSync(folder)) {
    throw new Error(
      `There is no decision log in ${folder}. Name the folder of the logs, and the coordinator.`,
    );
  }
  const log = new SqliteDecisionLog({ path });
  const { decisions, reports, warning } = await log.open(name);
  await log.close();
  const lines = [
    ...(warning === undefined ? [] : [warning]),
    ...decisions.map(({ id, branches }) => `${id}: commit is decided, ${missing(branches)}`),
    ...reports.map(
      ({ id, participant, kind, reason }) =>
        `${id}: ${participant} has reported ${kind} (${reason}), not forgotten yet`,
    ),
  ];
  if (decisions.length + reports.length === 0) {
    lines.push(`The log in ${folder} holds no decision and no report. It is needed no longer.`);
    return { isEmpty: true, lines };
  }
  lines.push(
    `The log in ${folder} holds ${decisions.length} decisions and ${reports.length} reports. Keep it: start its process again, ` +
      'and let it complete them.',
  );
  return { isEmpty: false, lines };
}

function missing(branches: CommitRecord['branches']): string {
  const open = branches.filter(({ completed }) => !completed).map(({ participant }) => participant);
  return open.length === 0
    ? 'and all have acknowledged it. It stays until the participants no longer list its branches'
    : `and was not acknowledged by ${open.join(', ')}`;
}
