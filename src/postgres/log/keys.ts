import type { KeyedRequest, Reservation } from '../../coordinator/index.js';
import { idPrefixOf } from '../../coordinator/index.js';
import { type OwnEpoch, currentEpoch } from './epoch.js';
import type { Place } from './records.js';
import type { ReadStatements } from './reads.js';
import type { LogSession } from './session.js';
import type { LogWriter } from './writer.js';

type Row = Record<string, string | null>;

/** A request that waits for its key. */
export interface WaitingRequest {
  readonly request: KeyedRequest;
  readonly place: Place;
}

/** So often a key that is freed meanwhile is asked for again. */
const MAX_ATTEMPTS = 3;

/** The statements about the keys of requests. */
export class KeyStatements {
  constructor(
    private readonly schema: string,
    private readonly reads: ReadStatements,
  ) {}

  /** Reserves the keys of requests, each key once, with one statement for those that are free. */
  async reserve(
    session: LogSession,
    writer: LogWriter,
    own: OwnEpoch,
    requests: readonly WaitingRequest[],
  ): Promise<Map<WaitingRequest, Reservation>> {
    const answers = new Map<WaitingRequest, Reservation>();
    // Members that insert the same keys in the same order never wait for each other in a circle.
    const sorted = requests.toSorted((a, b) => (a.request.key < b.request.key ? -1 : 1));
    const taken = await writer.conditional(session, own, () => this.insert(session, own, sorted));
    for (const waiting of sorted) {
      if (taken.has(waiting.request.key)) answers.set(waiting, { kind: 'reserved' });
      else answers.set(waiting, await this.earlier(session, writer, own, waiting));
    }
    return answers;
  }

  private async insert(
    session: LogSession,
    own: OwnEpoch,
    requests: readonly WaitingRequest[],
  ): Promise<Set<string> | undefined> {
    const [row] = await session.query<Row>(
      `WITH me AS (${currentEpoch(this.schema)}),
       inserted AS (
         INSERT INTO ${this.schema}.request_keys (log, key, fingerprint, epoch, sequence)
         SELECT $1, key, fingerprint, $2, sequence
         FROM me, unnest($4::text[], $5::text[], $6::bigint[]) AS given (key, fingerprint, sequence) ORDER BY key
         ON CONFLICT DO NOTHING RETURNING key)
       SELECT (SELECT count(*) FROM me)::text AS me, (SELECT coalesce(json_agg(key), '[]') FROM inserted)::text AS keys`,
      [
        own.log,
        own.epoch,
        own.incarnation,
        requests.map(({ request }) => request.key),
        requests.map(({ request }) => request.fingerprint),
        requests.map(({ place }) => place.sequence),
      ],
    );
    return row?.['me'] === '1' ? new Set(JSON.parse(row['keys']!) as string[]) : undefined;
  }

  /** The key is another transaction's, or was a moment ago. */
  private async earlier(
    session: LogSession,
    writer: LogWriter,
    own: OwnEpoch,
    waiting: WaitingRequest,
  ): Promise<Reservation> {
    const { request, place } = waiting;
    for (let attempt = 1; ; attempt++) {
      const [row] = await session.query<Row>(
        `SELECT fingerprint, epoch::text, sequence::text FROM ${this.schema}.request_keys WHERE log = $1 AND key = $2`,
        [own.log, request.key],
      );
      if (row !== undefined) {
        const before = { epoch: Number(row['epoch']), sequence: Number(row['sequence']) };
        const { coordinator: name, logId } = own;
        const transactionId = idPrefixOf({ name, logId, epoch: before.epoch }) + before.sequence;
        const isSame = transactionId === request.transactionId;
        const outcome = await this.reads.believed(session, () =>
          this.reads.outcomeOf(session, own.log, before),
        );
        if (isSame) return { kind: 'reserved' };
        if (outcome.outcome !== 'aborted') {
          return row['fingerprint'] === request.fingerprint
            ? { kind: 'earlier', transactionId, outcome }
            : { kind: 'other-request', transactionId };
        }
        await writer.conditional(session, own, () => this.free(session, own, request.key, before));
      }
      const taken = await writer.conditional(session, own, () =>
        this.insert(session, own, [{ request, place }]),
      );
      if (taken.size > 0) return { kind: 'reserved' };
      if (attempt === MAX_ATTEMPTS)
        throw new Error(`The key of ${request.transactionId} changes all the time.`);
    }
  }

  private async free(
    session: LogSession,
    own: OwnEpoch,
    key: string,
    before: Place,
  ): Promise<true | undefined> {
    const [row] = await session.query<Row>(
      `WITH me AS (${currentEpoch(this.schema)}),
       freed AS (
         DELETE FROM ${this.schema}.request_keys AS keys USING me
         WHERE keys.log = $1 AND keys.key = $4 AND keys.epoch = $5 AND keys.sequence = $6)
       SELECT count(*)::text AS count FROM me`,
      [own.log, own.epoch, own.incarnation, key, before.epoch, before.sequence],
    );
    return row?.['count'] === '1' ? true : undefined;
  }
}
