import { FencedError } from '../../coordinator/errors.js';
import type { KeyedRequest, Reservation } from '../../coordinator/log/shared-log.js';
import { idPrefixOf } from '../../coordinator/protocol/index.js';
import { codeOf } from '../sqlstate.js';
import type { Answer } from './collector.js';
import { type OwnEpoch, countedEpoch, currentEpoch } from './epoch.js';
import type { Place } from './records.js';
import type { ReadStatements } from './reads.js';
import { type LogSession, UnknownResultError } from './session.js';
import type { LogWriter } from './writer.js';

type Row = Record<string, string | null>;

/** A request that waits for its key. */
export interface WaitingRequest {
  readonly request: KeyedRequest;
  readonly place: Place;
}

/** How often the log tries again to reserve a key that another transaction frees meanwhile. */
const MAX_ATTEMPTS = 3;

/** The statements about the keys of requests. */
export class KeyStatements {
  constructor(
    private readonly schema: string,
    private readonly reads: ReadStatements,
  ) {}

  /**
   * Reserves the keys of requests, with one statement for all keys that are free.
   *
   * @returns the answers in the order of the requests. If one request fails, the others are not affected.
   */
  async reserve(
    session: LogSession,
    writer: LogWriter,
    own: OwnEpoch,
    requests: readonly WaitingRequest[],
  ): Promise<readonly Answer<Reservation>[]> {
    const current = requests.filter(({ place }) => place.epoch === own.epoch);
    // A statement inserts each key once. Other requests with the same key follow the first one.
    const first = new Map<string, WaitingRequest>();
    for (const waiting of current)
      if (!first.has(waiting.request.key)) first.set(waiting.request.key, waiting);
    // All members insert keys in the same order, so they never wait for each other in a circle.
    const sorted = [...first.values()].toSorted((a, b) => (a.request.key < b.request.key ? -1 : 1));
    const taken =
      sorted.length === 0
        ? new Set<string>()
        : await writer.conditional(session, own, () => this.insert(session, own, sorted));
    const answers: Answer<Reservation>[] = [];
    for (const waiting of requests) {
      const { key } = waiting.request;
      if (waiting.place.epoch !== own.epoch)
        answers.push({ error: new FencedError(own.coordinator, waiting.place.epoch) });
      else if (taken.has(key) && first.get(key) === waiting) answers.push({ value: { kind: 'reserved' } });
      else answers.push(await this.answerTo(session, writer, own, waiting));
    }
    return answers;
  }

  private async answerTo(
    session: LogSession,
    writer: LogWriter,
    own: OwnEpoch,
    waiting: WaitingRequest,
  ): Promise<Answer<Reservation>> {
    try {
      return { value: await this.earlier(session, writer, own, waiting) };
    } catch (error) {
      return { error };
    }
  }

  private async insert(
    session: LogSession,
    own: OwnEpoch,
    requests: readonly WaitingRequest[],
  ): Promise<Set<string> | undefined> {
    const [row] = await session.query<Row>(
      `WITH me AS (${countedEpoch(this.schema)}),
       inserted AS (
         INSERT INTO ${this.schema}.request_keys (log, key, fingerprint, epoch, sequence)
         SELECT $1, key, fingerprint, $2, sequence
         FROM me, unnest($4::text[], $5::text[], $6::bigint[]) AS given (key, fingerprint, sequence) ORDER BY key
         ON CONFLICT DO NOTHING RETURNING key)
       SELECT (SELECT high_water FROM me)::text AS mark, (SELECT coalesce(json_agg(key), '[]') FROM inserted)::text AS keys`,
      [
        own.log,
        own.epoch,
        own.incarnation,
        requests.map(({ request }) => request.key),
        requests.map(({ request }) => request.fingerprint),
        requests.map(({ place }) => place.sequence),
      ],
    );
    if (row?.['mark'] === null || row === undefined) return undefined;
    own.hasMark(Number(row['mark']));
    return new Set(JSON.parse(row['keys']!) as string[]);
  }

  /** Another transaction has the key, or had it a moment ago. */
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

/**
 * Whether the server refused a text because its encoding cannot represent it (class 22 of SQLSTATE). Then
 * nothing was written.
 */
export function isRefusedText(error: unknown): boolean {
  return error instanceof UnknownResultError && codeOf(error.cause)?.startsWith('22') === true;
}
