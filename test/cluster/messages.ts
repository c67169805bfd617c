import type { KnownOutcome, Outcome } from '../../src/coordinator/index.js';

/** The properties of an unusual order. */
export type Manner =
  | 'plain'
  /** The payment is refused, while the others prepare. */
  | 'refused'
  /** Money goes from one account to another: one participant decides by itself. */
  | 'one-phase'
  /** Nothing is changed. */
  | 'read-only';

/** Something out of the stock, paid and shipped: three databases. */
export interface Order {
  /** The caller's id for it: its transaction may be unknown to the caller when the member is killed. */
  readonly key: string;
  readonly manner: Manner;
  /**
   * How it is asked for: with one call; step by step; or with its key, so that it may be asked for again and
   * again.
   */
  readonly way: 'at once' | 'stepwise' | 'keyed';
  readonly item: number;
  readonly account: number;
  readonly quantity: number;
}

/** The participants, each with a database of its own. */
export const PARTICIPANTS = ['stock', 'payment', 'shipping'] as const;
export type ParticipantName = (typeof PARTICIPANTS)[number];

/** The name of the coordinator that all members have in common. */
export const COORDINATOR = 'shop';

/** The price of one piece. */
export const PRICE = 3;

/** How a member is started. */
export interface Settings {
  /** The name of this run to the databases, by which they tell whether it still has sessions. */
  readonly run: string;
  readonly logUrl: string;
  readonly urls: Readonly<Record<ParticipantName, string>>;
  readonly leaseMs: number;
}

/** From the parent to a member. */
export type Command =
  | { readonly type: 'start'; readonly settings: Settings }
  | { readonly type: 'order'; readonly number: number; readonly order: Order }
  | { readonly type: 'ask'; readonly number: number; readonly transactionId: string }
  | { readonly type: 'look'; readonly number: number };

/** The answer to the caller of an order: an outcome, or the code of a refusal before anything began. */
export type Told = Pick<Outcome, 'status' | 'transactionId'> & {
  readonly decision?: string;
  readonly reason?: string;
};

/** How a member stands. */
export interface Standing {
  readonly epoch: number;
  readonly accepting: boolean;
  readonly inFlight: number;
  readonly stalled: number;
  readonly heuristic: number;
  readonly logProblem: string | null;
}

/** From a member to the parent. */
export type Report =
  | { readonly type: 'started' }
  | { readonly type: 'begun'; readonly key: string; readonly transactionId: string }
  | { readonly type: 'told'; readonly number: number; readonly told: Told }
  | { readonly type: 'refused'; readonly number: number; readonly code: string }
  | { readonly type: 'known'; readonly number: number; readonly known: KnownOutcome }
  | { readonly type: 'standing'; readonly number: number; readonly standing: Standing }
  | { readonly type: 'failed'; readonly message: string };
