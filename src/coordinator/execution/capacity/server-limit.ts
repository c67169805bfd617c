/** How often a limit is lowered at most: what was begun before it was lowered last still reports the same shortage. */
const LOWERED_EVERY_MS = 100;
const LOWERED_TO = 0.8;
/** How much one more departure changes the estimate of the time between two. */
const WEIGHT = 0.1;

/** So many branches for each connection for work are at work at once: some at their statements, some queue, some commit. */
const WORK_PER_CONNECTION = 4;

/** How many slots a transaction needs, by the server. */
export type Needs = ReadonlyMap<ServerLimit, number>;

/** What one transaction takes of one server. */
export interface Share {
  slots: number;
  /** How many of its branches count as load there, and as being at work. */
  load: number;
  atWork: number;
}

/**
 * How many branches may be under way at one database server, of all participants on it together. Each branch that is begun
 * takes a slot until it is done. The server says how many it has.
 *
 * Those that have voted, and wait for a participant elsewhere, are idle: they hold their slots, but nothing there has to do
 * with them, and the limit does not count them. When the server runs short all the same, as others use it as well, the limit
 * is lowered by a fifth, and it grows by one for as many branches that are done as it lets in.
 *
 * More branches than keep the connections busy would only queue in the server, and hold rows meanwhile. So of those that are
 * under way the next is at work only when another is done.
 */
export class ServerLimit {
  /** By name, those that are on the server. */
  readonly participants = new Set<string>();
  /** Slots that are taken. */
  used = 0;
  /** Branches that are under way and not idle. */
  load = 0;
  /** Those of them whose transaction has been put to work. */
  atWork = 0;
  /** How many may be at work at once. */
  workers = 0;
  /** Transactions that wait for room here. */
  private waiting = 0;
  /** Since when there have been some. */
  private waitingSince = 0;
  /** How many connections the participants open at most, and how many the server gives. */
  ownConnections = 0;
  connections = 0;
  /** Hear that others may be put to work. */
  readonly onIdle = new Map<string, () => void>();
  /** Lowered when the server runs short, and when too many queue. */
  private current: number;
  private queueing: number;
  /** How many slots the server has for us. */
  most: number;
  private loweredAt = 0;
  private departedAt = 0;
  private betweenDeparturesMs = 0;

  /**
   * @param total how many slots the server has.
   * @param inUse how many of them were taken when it was asked.
   */
  constructor(
    readonly server: string,
    private total: number,
    inUse: number,
  ) {
    this.most = Math.max(1, total - inUse);
    this.current = this.most;
    this.queueing = this.most;
  }

  /** Whether others, or earlier runs of this coordinator, held slots when the server was asked the last time. */
  get isShared(): boolean {
    return this.most < this.total;
  }

  /**
   * The server was asked once more. Slots that others have given back since, or recovery has freed, are for us.
   *
   * @param inUse how many of all slots are taken, those of our own branches included.
   * @param own how many of them may be of branches that are under way here.
   */
  askedAgain(total: number, inUse: number, own: number): void {
    this.total = total;
    const gained = Math.max(1, total - Math.max(0, inUse - own)) - this.most;
    if (gained <= 0) return;
    this.most += gained;
    this.current += gained;
    this.queueing += gained;
  }

  /** How many slots may be taken now. */
  get limit(): number {
    return Math.floor(Math.min(this.current, this.queueing));
  }

  get queued(): number {
    return this.waiting;
  }

  /** A transaction waits for room here. */
  enqueue(now: number): void {
    if (this.waiting++ === 0) this.waitingSince = now;
  }

  /** It has begun, or waits no longer. */
  dequeue(): void {
    this.waiting--;
  }

  /** How many transactions with a branch at each participant here that is, when nothing is short. */
  get transactions(): number {
    return Math.max(1, Math.floor(this.most / this.participants.size));
  }

  /** A participant with so many connections for work is on the server. */
  addConnections(work: number, own: number): void {
    this.workers += work * WORK_PER_CONNECTION;
    this.ownConnections += own;
  }

  /** Whether so many branches may begin. One transaction always may, however large it is. */
  hasRoom(branches: number): boolean {
    if (this.used === 0) return true;
    return this.hasSlots(branches) && (this.load === 0 || this.load + branches <= this.limit);
  }

  /** Whether a transaction that has not been put to work is to wait. */
  get isBusy(): boolean {
    return this.atWork >= this.workers;
  }

  /** For a transaction that is under way already: whether the server itself has so many slots. */
  hasSlots(slots: number): boolean {
    return this.used + slots <= this.most;
  }

  take(slots: number): void {
    this.used += slots;
  }

  /** So many more of the branches under way have something to do here, or fewer. */
  move(load: number, atWork: number): void {
    this.load += load;
    this.atWork += atWork;
    // Nothing queues any more.
    if (this.load === 0) this.queueing = this.most;
  }

  /** Slots are free again. */
  free(slots: number, now: number): void {
    this.used -= slots;
    this.current = Math.min(this.most, this.current + slots / this.current);
    this.queueing = Math.min(this.most, this.queueing + slots / this.queueing);
    if (this.queued === 0) this.betweenDeparturesMs = 0;
    else if (this.betweenDeparturesMs === 0) this.betweenDeparturesMs = this.sinceDeparture(now);
    else this.betweenDeparturesMs += (this.sinceDeparture(now) - this.betweenDeparturesMs) * WEIGHT;
    this.departedAt = now;
  }

  /** The server ran short of slots or connections. */
  lower(now: number): void {
    if (this.isLoweredSince(now)) return;
    this.current = Math.max(1, Math.min(this.current, this.load) * LOWERED_TO);
  }

  /** Branches waited long to be put to work. Those that are at work keep the server busy, so that many may always begin. */
  queuedLong(now: number): void {
    if (this.queueing <= this.workers || this.isLoweredSince(now)) return;
    this.queueing = Math.max(this.workers, Math.min(this.queueing, this.load) * LOWERED_TO);
  }

  private isLoweredSince(now: number): boolean {
    if (now < this.loweredAt + LOWERED_EVERY_MS) return true;
    this.loweredAt = now;
    return false;
  }

  /** @returns how long one that comes now would wait, in milliseconds; 0 when that cannot be said. */
  expectedWaitMs(now: number): number {
    if (this.queued === 0 || this.departedAt === 0) return 0;
    // After the limit was lowered as much has to depart before the first that waits may begin.
    const excess = Math.max(0, this.load - this.limit) / this.participants.size;
    // Of a server that has done nothing for a while it is known that this much has to be waited for.
    return Math.max((this.queued + 1 + excess) * this.betweenDeparturesMs, this.sinceDeparture(now));
  }

  private sinceDeparture(now: number): number {
    return this.departedAt === 0 ? 0 : now - Math.max(this.departedAt, this.waitingSince);
  }
}
