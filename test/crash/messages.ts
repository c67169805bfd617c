import type { KnownOutcome, Outcome } from '../../src/coordinator/index.js';
import type { CrashOrder } from './application/crash-points.js';

/** The properties of an unusual transfer. */
export type Manner =
  | 'plain'
  /** The house refuses at once, while the others prepare. */
  | 'refused'
  /** The house refuses when the others are prepared. */
  | 'refused-last'
  /** The house commits, and reports that it is not sure of it. */
  | 'reported'
  /** The house does not commit as long as the process lives that has prepared it. */
  | 'stuck'
  /** The house votes only when the application is told to end. */
  | 'held'
  /** The house cannot prepare, and decides after all others have voted. */
  | 'last'
  /** The same, and it refuses. */
  | 'refused-by-last'
  /** The house holds its amount for a limited time. */
  | 'expiring'
  /** The same, and that time is over before the decision. */
  | 'expired'
  /** The payee's bank writes a message in its branch. */
  | 'messaging'
  /** The same, and the house refuses. */
  | 'refused-messaging'
  /** The banks take part in groups, and there is no stock: those that meet are prepared together. */
  | 'grouped';

/**
 * Money that goes from one bank to another, with a fee to the house, and a piece out of stock: four
 * databases.
 */
export interface Transfer {
  /** The parent's id for it: its transaction is unknown before an answer has come. */
  readonly key: string;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
  readonly manner: Manner;
  /** The number of bytes that this adds to the commit record. */
  readonly bulk?: number;
}

/** The fault of the log at one append. */
export type LogFault = 'loses the acknowledgement' | 'loses the record' | 'hangs';

/** How the application is started. */
export interface Settings {
  readonly logPath: string;
  /** Connection strings of the payers', the payees' and the house's database. */
  readonly databases: readonly [string, string, string];
  /** The URL of the stock's database in MariaDB, where that is installed. */
  readonly stock?: string | undefined;
  /** The name of this run to the databases, by which they tell whether it still has sessions. */
  readonly run: string;
  /** The folder into which the files of the log are copied whenever it has flushed. */
  readonly flushedCopy?: string;
  readonly timeoutMs?: number;
  /** Whether the application sends the messages of the payees. */
  readonly sendsMessages?: boolean;
}

/** From the parent to the application. */
export type Command =
  | { readonly type: 'start'; readonly settings: Settings; readonly order?: CrashOrder }
  | { readonly type: 'arm'; readonly order?: CrashOrder; readonly fault?: LogFault }
  /** They arrive together, in this order. */
  | { readonly type: 'transfers'; readonly transfers: readonly Transfer[] }
  /** Recover, forget the reports, and say how it stands. */
  | { readonly type: 'settle' }
  /** Say what is known of these transactions. */
  | { readonly type: 'outcomes'; readonly ids: readonly string[] };

/** How the application stands. */
export interface Condition {
  readonly accepting: boolean;
  readonly inFlight: number;
  readonly stalled: number;
  readonly heuristic: number;
  readonly logProblem: string | null;
  readonly restartNeeded: boolean;
}

/** The answer to the caller of a transfer: an outcome, or the code of a refusal before anything began. */
export type Told = Pick<Outcome, 'status' | 'transactionId'> & { readonly decision?: 'commit' | 'unknown' };

/** From the application to the parent. */
export type Report =
  | { readonly type: 'started' }
  | { readonly type: 'told'; readonly key: string; readonly told: Told }
  | { readonly type: 'refused'; readonly key: string; readonly code: string }
  | { readonly type: 'settled'; readonly condition: Condition }
  | { readonly type: 'outcomes'; readonly statuses: readonly KnownOutcome['status'][] }
  | { readonly type: 'failed'; readonly message: string };
