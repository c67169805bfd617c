import type { DatabasesView, LockHolder, LockWait, PreparedView } from '../../../dashboard/src/api/views.js';
import { HEURISTIC_ID, IN_DOUBT_ID, type Scenario, nowOf } from './scenario.js';

/** The id of a stalled branch, as its database has it. */
export const STALLED_GID = 'shop.k3v9x2m4q8ab.1a.7/payment/payment';

/** Two databases with prepared transactions, one that is down, and a participant without a database. */
export function databasesOf(scenario: Scenario): DatabasesView {
  const nothing = { problem: null, prepared: [], preparedTotal: 0, waits: [], waitsTotal: 0, notes: [] };
  const held = { session: null, prepared: STALLED_GID };
  return {
    at: new Date(nowOf(scenario)).toISOString(),
    databases: [
      {
        ...nothing,
        title: 'PostgreSQL 18.1, database "payment"',
        participants: ['payment'],
        prepared: [
          prepared(STALLED_GID, {
            knowledge: 'commit',
            why: 'Commit is decided.',
            statement: `COMMIT PREPARED '${STALLED_GID}';`,
            how: 'In database "payment", as role "payment_service" or a superuser, outside of a transaction.',
          }),
          prepared(`${IN_DOUBT_ID}/payment/payment`, {
            knowledge: 'open',
            why: 'It is not decided yet, or not known yet. The coordinator goes on.',
          }),
          prepared(
            'some-other-program: <b>nightly</b> reconciliation_of_ledgers_with_a_very_long_name_indeed',
            {
              knowledge: 'foreign',
              why: 'Another program has prepared it.',
              branch: null,
            },
          ),
        ],
        preparedTotal: 3,
        waits: [
          waitOf(4711, 'AccessExclusiveLock on table public.accounts', held),
          waitOf(4712, 'a row', held),
        ],
        waitsTotal: 2,
      },
      {
        ...nothing,
        title: 'MariaDB 11.8.3, all databases of the server',
        participants: ['inventory'],
        prepared: [
          prepared(`${HEURISTIC_ID}/inventory/inventory`, {
            ageMs: null,
            owner: null,
            database: null,
            session: 31,
            knowledge: 'unknown',
            why: 'The decision log does not answer.',
          }),
        ],
        preparedTotal: 501,
        notes: ["Who waits for whom is not shown: GRANT PROCESS ON *.* TO 'inventory'@'10.4.0.%';"],
      },
      {
        ...nothing,
        title: 'The database of order',
        participants: ['order'],
        problem: 'It has not answered within 4000 ms.',
      },
    ],
    unseen: [{ participant: 'shipping', why: 'It has no method inspect().' }],
  };
}

function prepared(id: string, given: Partial<PreparedView>): PreparedView {
  const [transactionId = '', participant = '', branchId = ''] = id.split('/');
  return {
    id,
    branch: { transactionId, participant, branchId },
    ageMs: 730_000,
    owner: 'payment_service',
    database: 'payment',
    session: null,
    knowledge: 'open',
    why: '',
    statement: null,
    how: null,
    ...given,
  };
}

function waitOf(id: number, lock: string, ...blockedBy: LockHolder[]): LockWait {
  const session = { id, user: 'reports', application: 'psql', state: 'active' };
  return { session, waitMs: 42_000, lock, blockedBy };
}
