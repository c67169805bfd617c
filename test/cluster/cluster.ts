import { setTimeout as pause } from 'node:timers/promises';
import { ReplicatedServer } from '../support/postgres/replicated-server.js';
import { PostgresServer } from '../support/postgres/server.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { Books } from './books.js';
import { MemberProcess } from './member-process.js';
import { PARTICIPANTS, type ParticipantName, type Settings } from './messages.js';

const HOST = '127.0.0.1';
const LOG = 'postgres';
/** How long the parent waits before it starts a process again that was refused. */
const START_AGAIN_MS = 300;

/** The state that the processes of a cluster share. */
export interface Surroundings {
  readonly log: ReplicatedServer;
  readonly books: Books;
  readonly leaseMs: number;
  /** Hears of the transactions of orders, as soon as their ids are known. */
  readonly begun: (key: string, transactionId: string) => void;
  /** Hears what a process has said, when it is over. */
  readonly over: (member: MemberProcess) => void;
}

/** The place of one member: a process is started again when it has ended, as a platform does. */
export class Place {
  /** The fault that it has now; undefined without one. */
  trouble: string | undefined;
  /** The ends of its processes that no test asked for. */
  readonly wrong: string[] = [];
  private runs = 0;
  private current: MemberProcess | undefined;
  private starting: Promise<void> | undefined;
  private isStopping = false;
  private readonly isExpected = new Set<MemberProcess>();

  private constructor(
    readonly number: number,
    private readonly surroundings: Surroundings,
    readonly logProxy: TcpProxy,
    readonly proxies: Readonly<Record<ParticipantName, TcpProxy>>,
  ) {}

  static async open(number: number, surroundings: Surroundings): Promise<Place> {
    const { log, books } = surroundings;
    const to = (port: number): Promise<TcpProxy> => TcpProxy.open({ host: HOST, port });
    const [stock, payment, shipping] = [
      await to(books.server.port),
      await to(books.server.port),
      await to(books.server.port),
    ];
    return new Place(number, surroundings, await to(log.port), { stock, payment, shipping });
  }

  /** The process, while it takes orders. */
  get member(): MemberProcess | undefined {
    return this.current?.isUp === true ? this.current : undefined;
  }

  /** The process, also while it starts. */
  get process(): MemberProcess | undefined {
    return this.current;
  }

  /** Starts a process, again and again until one has come up. */
  start(): Promise<void> {
    this.starting ??= this.startUntilUp().finally(() => (this.starting = undefined));
    return this.starting;
  }

  /** @returns a promise that resolves when a process is up. */
  async whenUp(): Promise<void> {
    if (this.member === undefined) await this.start();
  }

  /** Ends the process, and starts another one after a while. */
  async replace(signal: 'SIGKILL' | 'SIGTERM', waitMs: number): Promise<void> {
    const member = this.current;
    if (member !== undefined) {
      this.isExpected.add(member);
      member.signal(signal);
      await member.ended;
    }
    await pause(waitMs);
    await this.start();
  }

  async close(): Promise<void> {
    this.isStopping = true;
    if (this.current !== undefined) {
      this.isExpected.add(this.current);
      await this.current.kill();
    }
    await this.starting;
    for (const proxy of [this.logProxy, ...Object.values(this.proxies)]) await proxy.close();
  }

  private async startUntilUp(): Promise<void> {
    while (!this.isStopping) {
      const member = MemberProcess.start(this.settings(), this.surroundings.begun);
      this.current = member;
      const isUp = await member.up();
      void member.ended.then(() => this.ended(member, isUp));
      if (isUp) return;
      await pause(START_AGAIN_MS);
    }
  }

  /** A start may be refused while the log is away. A member that was up ends only when it is told to. */
  private ended(member: MemberProcess, wasUp: boolean): void {
    this.surroundings.over(member);
    if (!wasUp || this.isExpected.has(member)) return;
    this.wrong.push(`${member.name} has ended by itself (${member.end})`);
    if (!this.isStopping) void this.start();
  }

  private settings(): Settings {
    const { books, leaseMs, log } = this.surroundings;
    const urls = PARTICIPANTS.map((name) => [
      name,
      books.databases[name].urlBy({ port: this.proxies[name].port }),
    ]);
    return {
      run: `member ${this.number}.${++this.runs}`,
      logUrl: log.url(LOG, this.logProxy.port),
      urls: Object.fromEntries(urls) as Settings['urls'],
      leaseMs,
    };
  }
}

/** How a cluster is made. */
export interface ClusterOptions {
  readonly members: number;
  readonly leaseMs: number;
  /** Whether the server of the log has a synchronous standby. */
  readonly hasStandby: boolean;
  /** Settings of both servers. */
  readonly serverSettings?: Readonly<Record<string, string | number>>;
  readonly begun?: (key: string, transactionId: string) => void;
  readonly over?: (member: MemberProcess) => void;
}

/** Members in processes of their own, the server of their log, and the server of their services. */
export class Cluster {
  private constructor(
    readonly log: ReplicatedServer,
    readonly services: PostgresServer,
    readonly books: Books,
    readonly leaseMs: number,
    readonly places: readonly Place[],
  ) {}

  /** Starts the servers and the members. */
  static async open(options: ClusterOptions): Promise<Cluster> {
    const { members, leaseMs, hasStandby, serverSettings = {}, begun = () => {}, over = () => {} } = options;
    const log = await ReplicatedServer.start(serverSettings, 'cluster-log-');
    const services = await PostgresServer.start({ max_prepared_transactions: 300, ...serverSettings });
    const books = await Books.open(services);
    const places: Place[] = [];
    const surroundings = { log, books, leaseMs, begun, over };
    for (let number = 1; number <= members; number++) places.push(await Place.open(number, surroundings));
    const cluster = new Cluster(log, services, books, leaseMs, places);
    await Promise.all(places.map((place) => place.start()));
    if (hasStandby) await log.addStandby();
    return cluster;
  }

  /** The processes that take orders now. */
  get members(): MemberProcess[] {
    return this.places.flatMap(({ member }) => (member === undefined ? [] : [member]));
  }

  /** @returns a promise that resolves when each place has a member that takes orders. */
  async allUp(): Promise<void> {
    await Promise.all(this.places.map((place) => place.whenUp()));
  }

  /** New connections to the log go to the server that takes writes now. */
  followLog(): void {
    for (const { logProxy } of this.places) logProxy.target = { host: HOST, port: this.log.port };
  }

  /**
   * The open part of the log: decisions that have not ended, and epochs besides those of the running members.
   */
  async openInLog(): Promise<{
    readonly decisions: number;
    readonly epochs: number[];
    readonly reports: number;
  }> {
    const standings = await Promise.all(this.members.map((member) => member.standing()));
    const living = standings.map((standing) => standing?.epoch ?? 0);
    const { rows } = await this.log.query<{ decisions: number; epochs: number[]; reports: number }>(
      LOG,
      `SELECT (SELECT count(*)::int FROM dtc_log.decisions) AS decisions,
        (SELECT count(*)::int FROM dtc_log.reports) AS reports,
        ARRAY(SELECT epoch FROM dtc_log.epochs WHERE NOT settled AND epoch <> ALL ($1) ORDER BY epoch) AS epochs`,
      [living],
    );
    return rows[0]!;
  }

  /** Every row of the log, for the report of a failure. */
  async rowsOfLog(): Promise<Record<string, unknown>> {
    const rows: Record<string, unknown> = {};
    for (const table of ['epochs', 'members', 'decisions', 'reports']) {
      const answer = await this.log.query(LOG, `SELECT * FROM dtc_log.${table} ORDER BY log, epoch`);
      rows[table] = answer.rows;
    }
    return rows;
  }

  async close(): Promise<void> {
    await Promise.all(this.places.map((place) => place.close()));
    await this.log.stop();
    await this.services.stop();
  }
}
