import type { ResolvedMariaDbSettings } from '../options.js';

/**
 * The delay between the deadline and the limits of the server. These limits are for the case that the
 * coordinator has gone. While it runs, it enforces the deadline itself.
 */
const GRACE_MS = 500;

/** @returns the statements that limit the session of a branch. @param remainingMs until its deadline. */
export function limitsOf(settings: ResolvedMariaDbSettings, remainingMs: number): string[] {
  const totalMs = remainingMs + GRACE_MS;
  return [
    `SET SESSION TRANSACTION ISOLATION LEVEL ${settings.isolation.toUpperCase()}, READ WRITE`,
    `SET innodb_lock_wait_timeout = ${settings.lockTimeoutSeconds}, max_statement_time = ${totalMs / 1_000}, ` +
      // The server ends a session that is idle for this long. A branch that the session has prepared stays
      // prepared.
      `idle_transaction_timeout = ${Math.ceil(totalMs / 1_000)}, idle_write_transaction_timeout = 0, idle_readonly_transaction_timeout = 0`,
  ];
}

/**
 * @returns the statement by which other sessions find this one. A user lock ends with its session, and in a
 * reset.
 */
export function show(lock: string): string {
  return `DO GET_LOCK('${lock}', 0)`;
}
