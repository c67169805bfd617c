/**
 * The most times that a limit is lowered in sequence: branches that started before it was last lowered still
 * report the same shortage.
 */
const LOWERED_EVERY_MS = 100;
const LOWERED_TO = 0.8;
/** The weight of one more departure in the estimate of the time for each slot. */
const WEIGHT = 0.1;

/** The number of branches at work for each connection: some run statements, some queue, some commit. */
const WORK_PER_CONNECTION = 4;

/** The number of slots that a transaction needs, by server. */
export type Needs = ReadonlyMap<ServerLimit, number>;

/** How the slots of a server are divided among the members of a coordinator. */
export interface Division {
  /** Among how many the slots are divided that are not held. */
  readonly sharers: number;
  /** How many slots are held by branches of members that are gone. */
  readonly held: number;
}

/** A coordinator with a log of its own has all slots. */
export const UNDIVIDED: Division = { sharers: 1, held: 0 };

/** The use that one transaction makes of one server. */
export interface Share {
  slots: number;
  /** How many of its branches count as load there, and as being at work. */
  load: number;
  atWork: number;
}

/**
 * Limits how many branches are in progress at one database server, over all participants on it. Each branch
 * takes a slot until it is completed. The server reports how many slots it has.
 *
 * Branches that have voted and wait for a participant elsewhere are idle: they hold their slots but cause no
 * work, so the limit does not count them. If the server still runs short, because other clients use it too,
 * the limit is lowered by a fifth. It grows by one when as many branches are completed as it admits.
 *
 * More branches than keep the connections busy would only queue in the server and hold rows meanwhile. So a
 * further branch starts work only when another one is done.
 */
export class ServerLimit {
  /** The names of the participants on the server. */
  readonly participants = new Set<string>();
  /** Slots in use. */
  used = 0;
  /** Branches in progress that are not idle. */
  load = 0;
  /** Of these, the branches whose transaction has started work. */
  atWork = 0;
  /** The most branches at work at once. */
  workers = 0;
  /** Transactions that wait for room here. */
  private waiting = 0;
  /** The slots that they need here. */
  private wanted = 0;
  /** When the first of them began to wait. */
  private waitingSince = 0;
  /** The most connections that the participants open, and the number that the server gives. */
  ownConnections = 0;
  connections = 0;
  /** Called when waiting transactions may start work. */
  readonly onIdle = new Map<string, () => void>();
  /** Lowered when the server runs short, and when too many branches queue. */
  private current: number;
  private queueing: number;
  /** How many slots the server had free for us when it was asked. */
  private unused: number;
  private division = UNDIVIDED;
  private loweredAt = 0;
  private departedAt = 0;
  /** How long it lately took until one more slot was free; 0 when it is unknown. */
  private perSlotMs = 0;

  /**
   * @param total the number of slots of the server.
   * @param inUse how many of them were in use when it was asked.
   */
  constructor(
    readonly server: string,
    private total: number,
    inUse: number,
  ) {
    this.unused = Math.max(1, total - inUse);
    this.current = this.most;
    this.queueing = this.most;
  }

  /** How many slots the server has for us. */
  get most(): number {
    const { sharers, held } = this.division;
    return Math.max(1, Math.min(this.unused, Math.floor((this.total - held) / sharers)));
  }

  /** Whether other clients, or earlier runs of this coordinator, held slots at the server's last answer. */
  get isShared(): boolean {
    return this.unused < this.total;
  }

  /**
   * From now on each member has the same part of the slots that are not held.
   *
   * @returns whether that has changed how many there are for this one.
   */
  divide(division: Division): boolean {
    const before = this.most;
    this.division = division;
    this.grow(this.most - before);
    return this.most !== before;
  }

  /** Whether the connections are fewer than all members together may open. */
  get lacksConnections(): boolean {
    return this.ownConnections * this.division.sharers > this.connections;
  }

  /**
   * Updates the limit with a new answer of the server: slots that others or recovery have freed since are
   * available.
   *
   * @param inUse how many of all slots are in use, those of this coordinator's branches included.
   * @param own how many of them may belong to branches in progress here.
   */
  askedAgain(total: number, inUse: number, own: number): void {
    const before = this.most;
    this.total = total;
    this.unused = Math.max(this.unused, total - Math.max(0, inUse - own));
    this.grow(this.most - before);
  }

  /** There are more slots for us, or fewer. */
  private grow(gained: number): void {
    this.current = Math.max(1, this.current + gained);
    this.queueing = Math.max(1, this.queueing + gained);
  }

  /** The most slots that may be in use now. */
  get limit(): number {
    return Math.floor(Math.min(this.current, this.queueing));
  }

  get queued(): number {
    return this.waiting;
  }

  /** A transaction starts waiting for this number of slots here. */
  enqueue(slots: number, now: number): void {
    if (this.waiting++ === 0) this.waitingSince = now;
    this.wanted += slots;
  }

  /** A transaction has started, or stopped waiting. */
  dequeue(slots: number): void {
    this.waiting--;
    this.wanted -= slots;
  }

  /**
   * The number of transactions with a branch at each participant here that this allows when nothing is short.
   */
  get transactions(): number {
    return Math.max(1, Math.floor(this.most / this.participants.size));
  }

  /** Adds a participant on the server with its number of connections for work. */
  addConnections(work: number, own: number): void {
    this.workers += work * WORK_PER_CONNECTION;
    this.ownConnections += own;
  }

  /** Whether this number of branches may start. A single transaction always may, however large it is. */
  hasRoom(branches: number): boolean {
    if (this.used === 0) return true;
    return this.hasSlots(branches) && (this.load === 0 || this.load + branches <= this.limit);
  }

  /** Whether a transaction that has not started work must wait. */
  get isBusy(): boolean {
    return this.atWork >= this.workers;
  }

  /** For a running transaction: whether the server itself has this number of slots. */
  hasSlots(slots: number): boolean {
    return this.used + slots <= this.most;
  }

  take(slots: number): void {
    this.used += slots;
  }

  /** Changes the number of branches that work here. */
  move(load: number, atWork: number): void {
    this.load += load;
    this.atWork += atWork;
    // Nothing queues any more.
    if (this.load === 0) this.queueing = this.most;
  }

  /** Frees slots. */
  free(slots: number, now: number): void {
    this.used -= slots;
    this.current = Math.min(this.most, this.current + slots / this.current);
    this.queueing = Math.min(this.most, this.queueing + slots / this.queueing);
    // The branches of one transaction depart one after the other.
    const eachMs = this.sinceDeparture(now) / slots;
    if (this.queued === 0) this.perSlotMs = 0;
    else if (this.perSlotMs === 0) this.perSlotMs = eachMs / this.participants.size;
    else this.perSlotMs += (eachMs - this.perSlotMs) * WEIGHT;
    this.departedAt = now;
  }

  /** The server ran short of slots or connections. */
  lower(now: number): void {
    if (this.isLoweredSince(now)) return;
    this.current = Math.max(1, Math.min(this.current, this.load) * LOWERED_TO);
  }

  /**
   * Branches waited long before they could start work. Those at work keep the server busy, so a fair number
   * may always start.
   */
  queuedLong(now: number): void {
    if (this.queueing <= this.workers || this.isLoweredSince(now)) return;
    this.queueing = Math.max(this.workers, Math.min(this.queueing, this.load) * LOWERED_TO);
  }

  private isLoweredSince(now: number): boolean {
    if (now < this.loweredAt + LOWERED_EVERY_MS) return true;
    this.loweredAt = now;
    return false;
  }

  /**
   * @param slots that it needs here.
   * @returns the expected wait of a new transaction, in milliseconds; 0 when it is unknown.
   */
  expectedWaitMs(slots: number, now: number): number {
    if (this.queued === 0 || this.departedAt === 0) return 0;
    // After the limit was lowered, the surplus must depart before the first waiting transaction may start.
    const excess = Math.max(0, this.load - this.limit);
    // If the server has completed nothing for a while, the wait is at least that long.
    return Math.max((this.wanted + slots + excess) * this.perSlotMs, this.sinceDeparture(now));
  }

  private sinceDeparture(now: number): number {
    return this.departedAt === 0 ? 0 : now - Math.max(this.departedAt, this.waitingSince);
  }
}
