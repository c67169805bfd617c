import { EventEmitter, once } from 'node:events';
import { Client, type ClientConfig } from 'pg';
import type { CrashPoints, SqlStep } from './crash-points.js';

/** A statement to a database, by its beginning or by a part that no other statement has. */
const STATEMENTS: readonly (readonly [SqlStep, RegExp])[] = [
  ['checks', /^\s*SELECT json_build_object/],
  ['BEGIN', /^BEGIN /],
  ['work', /^UPDATE accounts/],
  ['work of a group', /^BEGIN;.*EXECUTE "dtc open /s],
  [
    'PREPARE TRANSACTION of a group',
    /(?:pg_advisory_unlock_all\b|EXECUTE "dtc neutral ).*\bPREPARE TRANSACTION '/s,
  ],
  ['PREPARE TRANSACTION', /\bPREPARE TRANSACTION '/],
  ['COMMIT PREPARED', /^COMMIT PREPARED/],
  ['ROLLBACK PREPARED', /^ROLLBACK PREPARED/],
  ['ROLLBACK', /^ROLLBACK$/],
  ['tombstone', /'rolled-back'/],
  ['proof', /^SELECT state FROM /],
  ['list', /^SELECT gid FROM pg_prepared_xacts/],
];

const TRANSACTION_ID = /'([^'/]+)\/[^']+\/[^']+'/;

/** @returns the class of a client that comes by crash points with its statements. */
export function crashingClient(points: CrashPoints): new (config?: ClientConfig) => Client {
  return class extends Client {
    constructor(config?: ClientConfig) {
      super(config);
      const query = this.query.bind(this) as (...given: unknown[]) => Promise<unknown>;
      // The work of a branch does not name its transaction; the statement that began it does.
      let transactionId: string | undefined;
      const crashing = (...given: unknown[]): Promise<unknown> => {
        const [first, values] = given;
        const { text, values: parameters = values } =
          typeof first === 'string' ? { text: first } : (first as { text: string; values?: unknown });
        const step = STATEMENTS.find(([, pattern]) => pattern.test(text))?.[0];
        if (step === undefined) return query(...given);
        const named = TRANSACTION_ID.exec(text) ?? TRANSACTION_ID.exec(`'${String(parameters)}'`);
        if (named !== null || step === 'list' || step === 'checks') transactionId = named?.[1];
        return points.around(step, transactionId, async () => {
          const answer = query(...given);
          // A query object has a callback of its own, and says when it is answered.
          return first instanceof EventEmitter ? once(first, 'end') : answer;
        });
      };
      this.query = crashing as Client['query'];
    }
  };
}
