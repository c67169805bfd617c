import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The services with a participant, by the names of their participants. */
export const PARTICIPANTS = ['order', 'inventory', 'payment'] as const;

/** The services that run transactions, or join them. */
const CALLERS = ['gateway', 'order'] as const;

/**
 * Makes the tokens of all hops, unless they exist: a folder for each process, with a file for each token that
 * the process knows.
 *
 * @param folder of the tokens.
 */
export function makeTokens(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const caller of CALLERS) shared(folder, `${caller}/caller`, `coordinator/caller-${caller}`);
  for (const name of PARTICIPANTS) {
    shared(folder, `${name}/participant`, `coordinator/participant-${name}`);
    shared(folder, 'coordinator/own', `${name}/coordinator`);
  }
  shared(folder, 'gateway/carrier', 'order/carrier');
  shared(folder, 'coordinator/member');
  for (const [role, names] of [
    ['caller', CALLERS],
    ['participant', PARTICIPANTS],
  ] as const) {
    const pairs = names.map((name) => `${name}:${tokenIn(folder, `coordinator/${role}-${name}`)}`);
    write(folder, `coordinator/${role}s`, pairs.join('\n'));
  }
}

/** @returns a token that was made. */
export function tokenIn(folder: string, file: string): string {
  return readFileSync(join(folder, file), 'utf8').trim();
}

/** The first file keeps its token, and the others get the same. */
function shared(folder: string, file: string, ...others: readonly string[]): void {
  if (!existsSync(join(folder, file))) write(folder, file, randomBytes(24).toString('base64url'));
  for (const other of others) write(folder, other, tokenIn(folder, file));
}

function write(folder: string, file: string, text: string): void {
  mkdirSync(join(folder, file, '..'), { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, file), `${text}\n`, { mode: 0o600 });
}
