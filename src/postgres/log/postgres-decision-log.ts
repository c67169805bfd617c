import type { ClientConfig } from 'pg';
import { endAll } from '../../coordinator/end-all.js';
import { CoordinatorError, FencedError, InvalidRequestError } from '../../coordinator/errors.js';
import type {
  AuditEntry,
  CommitDecision,
  HeuristicRecord,
  LogClaim,
} from '../../coordinator/log/decision-log.js';
import type { FlushStatistics } from '../../coordinator/log/flush-statistics.js';
import { LogBehindError, LogInUseError } from '../../coordinator/log/log-errors.js';
import type {
  Adoption,
  KeyedRequest,
  KnownRun,
  LogMembers,
  LoggedOutcome,
  LoggedRegistration,
  MemberLease,
  ParticipantRegistration,
  Renewal,
  Reservation,
  SharedAuditEntry,
  SharedCommitDecision,
  SharedDecisionLog,
} from '../../coordinator/log/shared-log.js';
import { type Answer, Collector } from './collector.js';
import { type OwnEpoch, countedEpoch, takeEpoch, takeKnownEpoch } from './epoch.js';
import { PostgresLogError } from './errors.js';
import { KeyStatements, type WaitingRequest, isRefusedText } from './keys.js';
import { MemberStatements, neverGivenOut } from './members.js';
import {
  type PostgresDecisionLogOptions,
  type ResolvedPostgresLogSettings,
  resolveLogSettings,
} from './options.js';
import { FULL_PASS, Purge } from './purge.js';
import { ReadStatements } from './reads.js';
import { type Place, encodeAudit, encodeCommit, encodeReport, placeOf } from './records.js';
import { LogConnection, type LogSession, clientConfigOf } from './session.js';
import { type LogServer, checkServer, unreachable } from './tables.js';
import { LogWriter } from './writer.js';
import { markOf } from './writes.js';

/** The most characters of a key, a fingerprint and a name, and of an address; and the most bytes of the details of a registration. */
const MAX_NAME = 200;
const MAX_ADDRESS = 2_000;
const MAX_DETAILS = 64 * 1024;
/** When a pass has not deleted all outdated outcomes, the next pass follows after this time. */
const PURGE_AGAIN_MS = 1_000;

/** The result of an append. */
type Found = 'recorded' | 'absent' | 'fenced';

/**
 * A decision log in a PostgreSQL database, which the members of a coordinator share. One connection of a member writes, all
 * decisions that wait share one statement, and another connection renews its lease.
 *
 * @publicApi
 */
export class PostgresDecisionLog implements SharedDecisionLog {
  readonly members: LogMembers = {
    renew: (lease) => this.renew(lease),
    adopt: (epoch) => this.adopt(epoch),
    settled: (epoch) => this.settled(epoch),
    runs: (epochs) => this.runs(epochs),
    restart: () => this.restart(),
    leave: () => this.leave(),
    raiseFormat: (format) => this.raiseFormat(format),
  };
  private readonly settings: ResolvedPostgresLogSettings;
  private readonly config: ClientConfig;
  private readonly writer: LogWriter;
  private readonly reader: LogConnection;
  private readonly leases: LogConnection;
  /** Reads the records of other epochs. This may take long, so no decision waits for it. */
  private readonly adopter: LogConnection;
  private readonly reads: ReadStatements;
  private readonly memberStatements: MemberStatements;
  private readonly keys: KeyStatements;
  private readonly purge: Purge;
  private readonly lookUps = new Collector<string, Found>((ids) => this.lookUpAll(ids));
  private readonly reservations = new Collector<WaitingRequest, Reservation>((all) => this.reserveAll(all));
  /** The reservations without an answer, by their transactions. */
  private readonly reserving = new Map<string, Promise<void>>();
  private server: LogServer | undefined;
  private coordinator: string | undefined;
  private restarting: Promise<LogClaim> | undefined;
  private purging: NodeJS.Timeout | undefined;
  private purgingAgain: NodeJS.Timeout | undefined;
  private isPurging = false;

  /**
   * Makes no connection yet.
   *
   * @throws InvalidOptionsError when a setting is not valid.
   */
  constructor({ connection, ...settings }: PostgresDecisionLogOptions) {
    this.settings = resolveLogSettings(settings);
    this.config = clientConfigOf(connection);
    const { schema, synchronousStandbys, connectTimeoutMs, statementTimeoutMs, outcomeRetentionMs } =
      this.settings;
    this.writer = new LogWriter(this.config, this.settings);
    const limits = { connectMs: connectTimeoutMs, statementMs: statementTimeoutMs };
    this.reader = new LogConnection(this.config, limits);
    this.adopter = new LogConnection(this.config, limits);
    this.reads = new ReadStatements(schema, synchronousStandbys);
    this.memberStatements = new MemberStatements(schema, this.reads, synchronousStandbys);
    this.leases = new LogConnection(this.config, limits, async (session) => {
      await this.memberStatements.lock(session, this.writer.epoch);
      // Another server may have taken over. So the connection that writes compares its mark now, and not only at the next
      // decision. If this fails, that decision fails too, and its caller gets the error.
      this.check().catch(() => {});
    });
    this.keys = new KeyStatements(schema, this.reads);
    this.purge = new Purge(schema, outcomeRetentionMs);
  }

  /** The numbers of its flushes: one flush is one statement. */
  get flushes(): FlushStatistics {
    return this.writer.flushes;
  }

  /**
   * Checks the server, creates the tables, and takes an epoch.
   *
   * @throws PostgresLogError, UnknownLogFormatError, LogStartsUsedUpError; LogInUseError when it is open already.
   */
  async open(coordinator: string): Promise<LogClaim> {
    const { schema, createTables } = this.settings;
    if (this.coordinator !== undefined) throw new LogInUseError(`the schema ${schema} of PostgreSQL`);
    this.coordinator = coordinator;
    try {
      this.server = await this.writer.run((session) => checkServer(session, schema, createTables));
      const claim = await this.take();
      const { purgeIntervalMs } = this.settings;
      this.purging = setInterval(() => void this.purgeNow(), purgeIntervalMs).unref();
      return this.server.fsync === 'off'
        ? {
            ...claim,
            warning: 'The server of the decision log has fsync = off: a crash of it may lose decisions',
          }
        : claim;
    } catch (error) {
      this.coordinator = undefined;
      await Promise.all([this.writer.disconnect(), this.leases.renew()]);
      throw error instanceof CoordinatorError || error instanceof PostgresLogError
        ? error
        : unreachable(error);
    }
  }

  isOwnRun(epoch: number, token: string): Promise<boolean> {
    const { log } = this.writer.epoch;
    return this.reader.run((session) => this.reads.isOwnRun(session, log, epoch, token));
  }

  append(decision: SharedCommitDecision): Promise<void> {
    const { id, alsoCommits = [] } = decision;
    const [sequence, ...others] = [id, ...alsoCommits].map((each) => this.ownSequence(each));
    const record = decision.toRecord();
    const isOutcome = record.branches.length === 0;
    return this.writer.add({
      kind: 'append',
      sequence: sequence!,
      record: isOutcome ? null : encodeCommit(record),
      others,
    });
  }

  async lookUp(transactionId: string): Promise<'recorded' | 'absent' | 'fenced'> {
    // A write or a reservation that is under way may still reach the server.
    await Promise.all([this.writer.settled(), this.reserving.get(transactionId)]);
    return this.lookUps.add(transactionId);
  }

  progress(decision: CommitDecision, isPromised = false): Promise<void> {
    const place = this.placeOf(decision.id);
    const kind = isPromised ? 'replaced' : 'progress';
    return this.writer.add({ kind, place, record: encodeCommit(decision.toRecord()) });
  }

  end(transactionId: string, outcome: 'committed' | 'aborted' = 'committed'): void | Promise<void> {
    const place = this.placeOf(transactionId);
    if (outcome === 'aborted') return this.writer.add({ kind: 'refused', place });
    this.writer.note('ended', place);
  }

  report(report: HeuristicRecord): Promise<void> {
    const { id, branchId: branch } = report;
    return this.writer.add({ kind: 'report', place: this.placeOf(id), branch, record: encodeReport(report) });
  }

  forget(transactionId: string, branchId?: string): Promise<void> {
    const place = this.placeOf(transactionId);
    return this.writer.add({ kind: 'forget', place, branch: branchId ?? null });
  }

  audit(entry: AuditEntry): Promise<void> {
    return this.writer.add({ kind: 'audit', records: [encodeAudit(entry)] });
  }

  check(): Promise<void> {
    return this.writer.add({ kind: 'check' });
  }

  async close(): Promise<void> {
    clearInterval(this.purging);
    clearTimeout(this.purgingAgain);
    this.purging = undefined;
    const { reader, adopter, writer, leases } = this;
    await endAll([
      () => reader.close(),
      () => adopter.closeAtOnce(),
      () => writer.close(),
      () => leases.close(),
    ]);
  }

  outcomeOf(transactionId: string): Promise<LoggedOutcome> {
    const { coordinator, logId, log } = this.writer.epoch;
    const place = placeOf(transactionId, coordinator, logId);
    return this.reader.run((session) =>
      this.reads.believed(session, () => this.reads.outcomeOf(session, log, place)),
    );
  }

  reserve(request: KeyedRequest): Promise<Reservation> {
    checkText('key', request.key, MAX_NAME);
    checkText('fingerprint', request.fingerprint, MAX_NAME);
    const sequence = this.ownSequence(request.transactionId);
    const place = { epoch: this.writer.epoch.epoch, sequence };
    const reservation = this.reservations.add({ request, place });
    const { transactionId } = request;
    const answered = (): void => void this.reserving.delete(transactionId);
    this.reserving.set(transactionId, reservation.then(answered, answered));
    return reservation;
  }

  release(transactionId: string): void {
    this.writer.note('released', this.placeOf(transactionId));
  }

  audits(): Promise<readonly SharedAuditEntry[]> {
    const { log } = this.writer.epoch;
    return this.reader.run((session) => this.reads.audits(session, log));
  }

  reports(): Promise<readonly HeuristicRecord[]> {
    const { log } = this.writer.epoch;
    return this.reader.run((session) => this.reads.reportsOf(session, log));
  }

  register({ name, address, details }: ParticipantRegistration): Promise<void> {
    checkText('name', name, MAX_NAME);
    checkText('address', address, MAX_ADDRESS);
    const text = JSON.stringify(details ?? null);
    checkText('details', text, MAX_DETAILS);
    return this.changeRegistrations(
      `INSERT INTO registrations_of (log, name, address, details, revision, removed)
       SELECT $1, $4, $5, $6, revision, false FROM revised
       ON CONFLICT (log, name) DO UPDATE SET address = excluded.address, details = excluded.details,
         revision = excluded.revision, removed = false`,
      [name, address, text],
    );
  }

  unregister(name: string): Promise<void> {
    return this.changeRegistrations(
      `UPDATE registrations_of AS registrations SET removed = true, revision = revised.revision FROM revised
       WHERE registrations.log = $1 AND registrations.name = $4 AND NOT registrations.removed`,
      [name],
    );
  }

  registrations(): Promise<readonly LoggedRegistration[]> {
    const { log } = this.writer.epoch;
    return this.reader.run((session) => this.reads.registrations(session, log));
  }

  /**
   * Deletes outcomes that are older than `outcomeRetentionMs`. The log also does so by itself.
   *
   * @returns how many were deleted.
   */
  async purgeOutcomes(): Promise<number> {
    return this.purge.run(this.writer);
  }

  private changeRegistrations(effect: string, values: readonly unknown[]): Promise<void> {
    const { schema } = this.settings;
    return this.writer.runCurrent((session, own) =>
      this.writer.counted(session, own, async () =>
        markOf(
          await session.query(
            `WITH me AS (${countedEpoch(schema)}),
             revised AS (UPDATE ${schema}.logs SET last_revision = last_revision + 1 FROM me WHERE log = $1
               RETURNING last_revision AS revision),
             effect AS (${effect.replace('registrations_of', `${schema}.registrations`)})
             SELECT high_water::text AS mark FROM me`,
            [own.log, own.epoch, own.incarnation, ...values],
          ),
        ),
      ),
    );
  }

  private async take(): Promise<LogClaim> {
    const { schema } = this.settings;
    const own = await takeKnownEpoch(
      (task) => this.writer.run(task),
      (session) => takeEpoch(session, schema, this.coordinator!, this.server!),
    );
    this.writer.useEpoch(own);
    await this.leases.renew();
    // The first lease is renewed only later. Without its lock a process that starts slowly would look like one that is gone.
    await this.leases.run(() => Promise.resolve());
    const audits = await this.writer.run((session) => this.reads.audits(session, own.log));
    const { logId, epoch, token } = own;
    return { logId, epoch, token, durable: true, decisions: [], reports: [], audits: audits.map(plainEntry) };
  }

  /** Takes a new incarnation first, so that a record that is absent then stays absent. */
  private lookUpAll(ids: readonly string[]): Promise<readonly Answer<Found>[]> {
    return this.writer.run(async (session) => {
      const own = this.writer.epoch;
      if (own.ended === undefined) await this.writer.newIncarnation(session);
      if (own.ended !== undefined && !(own.ended instanceof FencedError)) throw own.ended;
      const { coordinator, logId, log } = own;
      const places = ids.map((id) => placeOf(id, coordinator, logId));
      const known = places.filter((place) => place !== undefined);
      const found = await this.reads.believed(session, () =>
        this.reads.recorded(session, log, [...this.writer.epochs.keys()], own.epoch, known),
      );
      const answers = new Map(known.map((place, index) => [place, found[index]!]));
      return places.map((place) => ({ value: this.foundAt(place, place && answers.get(place)) }));
    });
  }

  /** Writes of a fenced epoch that were not answered: only the adopter knows their results. */
  private foundAt(place: Place | undefined, found: Found | undefined): Found {
    if (place === undefined || found === undefined) return 'fenced';
    const own = this.writer.epochs.get(place.epoch);
    if (own === undefined) return found;
    if (own.ended !== undefined || own !== this.writer.epoch)
      return own.unanswered.has(place.sequence) ? 'fenced' : found;
    own.unanswered.delete(place.sequence);
    return found;
  }

  private async reserveAll(requests: readonly WaitingRequest[]): Promise<readonly Answer<Reservation>[]> {
    try {
      return await this.writer.runCurrent((session, own) =>
        this.keys.reserve(session, this.writer, own, requests),
      );
    } catch (error) {
      // If the database refuses one key, the other requests still get theirs.
      if (requests.length === 1 || !isRefusedText(error)) throw error;
      const answers: Answer<Reservation>[] = [];
      for (const waiting of requests) {
        const answer = this.reserveAll([waiting]).catch((reason: unknown) => [{ error: reason }]);
        answers.push(...(await answer));
      }
      return answers;
    }
  }

  private renew(lease: MemberLease): Promise<Renewal> {
    checkText('member', lease.member, MAX_NAME);
    if (lease.address !== null) checkText('address', lease.address, MAX_ADDRESS);
    return this.leases.run(async (session) => {
      const own = this.writer.epoch;
      if (own.ended instanceof LogBehindError) throw own.ended;
      const renewal = await this.memberStatements.renew(session, own, lease);
      own.format = renewal.format;
      return renewal;
    });
  }

  private async adopt(epoch: number): Promise<Adoption | 'taken'> {
    if (epoch === this.writer.epoch.epoch || !Number.isSafeInteger(epoch) || epoch < 1)
      throw neverGivenOut(epoch);
    const own = this.writer.epoch;
    const conditional = <T>(statement: (session: LogSession) => Promise<T | undefined>): Promise<T> =>
      this.writer.runCurrent(
        (session) => this.writer.conditional(session, own, () => statement(session)),
        own,
      );
    const taken = await conditional((session) => this.memberStatements.fence(session, own, epoch));
    if (taken === 'taken') return 'taken';
    const adoption = await this.adopter.run((session) =>
      this.memberStatements.read(session, own, epoch, taken),
    );
    await conditional((session) => this.memberStatements.freeKeys(session, own, adoption));
    return adoption;
  }

  private async settled(epoch: number): Promise<boolean> {
    // A record whose end is not written yet would look like an open transaction.
    await this.writer.flushNotes();
    return this.writer.runCurrent((session, own) =>
      this.writer.conditional(session, own, () => this.memberStatements.settle(session, own, epoch)),
    );
  }

  private runs(epochs: readonly number[]): Promise<readonly KnownRun[]> {
    const { log } = this.writer.epoch;
    return this.reader.run((session) =>
      this.reads.believed(session, () => this.reads.runs(session, log, epochs)),
    );
  }

  /** One at a time: a caller that did not wait for the call before would otherwise have another epoch than the log. */
  private restart(): Promise<LogClaim> {
    this.restarting ??= this.endEpoch()
      .then(() => this.take())
      .finally(() => (this.restarting = undefined));
    return this.restarting;
  }

  private async leave(): Promise<void> {
    await this.writer.flushNotes();
    await this.endEpoch();
  }

  /** @throws LogBehindError when the log has lost records that it had acknowledged. */
  private async endEpoch(): Promise<void> {
    await this.writer.run(async (session) => {
      const own = this.writer.epoch;
      if (own.ended === undefined) await this.writer.newIncarnation(session);
      if (own.ended !== undefined && !(own.ended instanceof FencedError)) throw own.ended;
      await this.memberStatements.end(session, own);
      own.ended ??= new FencedError(own.coordinator, own.epoch);
    });
  }

  private raiseFormat(format: number): Promise<number> {
    return this.writer.runCurrent((session, own) =>
      this.writer.conditional(session, own, () => this.memberStatements.raiseFormat(session, own, format)),
    );
  }

  /** If the outcomes cannot be deleted, the next turn tries again. After a pass that left some, the next turn comes soon. */
  private async purgeNow(): Promise<void> {
    if (this.isPurging) return;
    this.isPurging = true;
    const count = await this.purgeOutcomes().catch(() => 0);
    if (this.purging === undefined) return;
    this.isPurging = false;
    if (count < FULL_PASS) return;
    this.purgingAgain = setTimeout(() => void this.purgeNow(), PURGE_AGAIN_MS).unref();
  }

  private placeOf(transactionId: string): Place {
    const { coordinator, logId } = this.writer.epoch;
    const place = placeOf(transactionId, coordinator, logId);
    if (place === undefined)
      throw new RangeError(`"${transactionId}" is no transaction of this decision log.`);
    return place;
  }

  private ownSequence(transactionId: string): number {
    const { epoch, sequence } = this.placeOf(transactionId);
    const own: OwnEpoch = this.writer.epoch;
    if (epoch !== own.epoch)
      throw new RangeError(
        `"${transactionId}" is no transaction of epoch ${own.epoch}, in which this member writes.`,
      );
    return sequence;
  }
}

function plainEntry({ number, at, by, action, target, reason, detail }: SharedAuditEntry): AuditEntry {
  return { number, at, by, action, target, reason, detail };
}

/** @throws InvalidRequestError when a text is too long for the log, or PostgreSQL cannot store it. */
function checkText(what: string, text: string, most: number): void {
  if (text.length > most)
    throw new InvalidRequestError(what, `has ${text.length} characters, and the log keeps at most ${most}`);
  if (text.includes('\0') || /\p{Surrogate}/u.test(text))
    throw new InvalidRequestError(
      what,
      'has a character U+0000, or half of a surrogate pair, which the log cannot keep',
    );
}
