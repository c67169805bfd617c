import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitDecision } from '../coordinator/log/decision-log.js';
import { LogFiles } from './log-files.js';
import { LogFailure } from './messages.js';
import { SqliteDecisionLog } from './sqlite-decision-log.js';
import { openStored } from './stored-log.js';

/** A folder for logs that is removed after the test. */
export function temporaryFolder(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'sqlite-log-'));
  return { path, remove: () => rmSync(path, { recursive: true }) };
}

export function decision(id: string, payload: unknown = 1): CommitDecision {
  return {
    id,
    toRecord: () => ({
      id,
      name: 'sale',
      decider: { kind: 'log' },
      branches: [{ branchId: 'b', participant: 'p', payload, completed: false }],
    }),
  };
}

/** @returns the ids of the decisions in the log of `shop` in a folder, in order. */
export async function decisionsIn(path: string): Promise<string[]> {
  const log = new SqliteDecisionLog({ path });
  const { decisions } = await log.open('shop');
  await log.close();
  return decisions.map(({ id }) => id);
}

/** The files of a log by their names, as a crash would leave them, without the locks. */
export type Image = Readonly<Record<string, Buffer>>;

export function imageOf(folder: string): Image {
  const names = readdirSync(folder).filter((name) => !name.startsWith('lock'));
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name))]));
}

/** Puts the files of an image into a folder, and removes all others. */
export function restore(image: Image, folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) if (!(name in image)) rmSync(join(folder, name));
  for (const [name, bytes] of Object.entries(image)) writeFileSync(join(folder, name), bytes);
}

/** The result of a start. */
export interface Start {
  /** Why it was refused. */
  readonly refused?: string;
  readonly decisions: readonly string[];
  readonly warning?: string | undefined;
}

/** Opens a log in this thread like a start, up to its claim, and leaves it unchanged. */
export function lookInto(folder: string): Start {
  const files = new LogFiles(folder);
  const decisions: string[] = [];
  try {
    const { database, lock, warning } = openStored(files, (key) => {
      if (key.startsWith('commit/')) decisions.push(key.slice('commit/'.length));
    });
    files.closeUnchanged(() => database.close());
    lock.release();
    return { decisions: decisions.toSorted(), warning };
  } catch (error) {
    if (error instanceof LogFailure) return { refused: error.failure.kind, decisions: [] };
    throw error;
  }
}
