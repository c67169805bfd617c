/** How often a limit is lowered at most: what was begun before it was lowered last still reports the same shortage. */
const LOWERED_EVERY_MS = 100;
const LOWERED_TO = 0.8;
/** How much one more departure changes the estimate of the time between two. */
const WEIGHT = 0.1;

/**
 * How many branches may be under way at one database server, of all participants on it together. Each branch that is begun
 * takes a slot until it is done. The server says how many it has; when it runs short all the same, as others use it as
 * well, the limit is lowered by a fifth, and it grows by one slot for as many branches that are done as it lets in.
 */
export class ServerLimit {
  /** By name, those that are on the server. */
  readonly participants = new Set<string>();
  /** Slots that are taken. */
  used = 0;
  /** Transactions that wait for room here. */
  queued = 0;
  /** How many connections the participants open at most, and how many the server gives. */
  ownConnections = 0;
  connections = 0;
  private current: number;
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
  }

  /** How many slots may be taken now. */
  get limit(): number {
    return Math.floor(this.current);
  }

  /** How many transactions with a branch at each participant here that is, when nothing is short. */
  get transactions(): number {
    return Math.max(1, Math.floor(this.most / this.participants.size));
  }

  /** Whether so many slots may be taken. One transaction always may, however large it is. */
  hasRoom(slots: number): boolean {
    return this.used === 0 || this.used + slots <= this.limit;
  }

  /** For a transaction that is under way already: whether the server itself has so many slots. */
  hasSlots(slots: number): boolean {
    return this.used + slots <= this.most;
  }

  take(slots: number): void {
    this.used += slots;
  }

  /** Slots are free again. */
  free(slots: number, now: number): void {
    this.used -= slots;
    this.current = Math.min(this.most, this.current + slots / this.current);
    if (this.queued === 0) this.betweenDeparturesMs = 0;
    else if (this.betweenDeparturesMs === 0) this.betweenDeparturesMs = this.sinceDeparture(now);
    else this.betweenDeparturesMs += (this.sinceDeparture(now) - this.betweenDeparturesMs) * WEIGHT;
    this.departedAt = now;
  }

  /** The server ran short of slots or connections. */
  lower(now: number): void {
    if (now < this.loweredAt + LOWERED_EVERY_MS) return;
    this.loweredAt = now;
    this.current = Math.max(1, Math.min(this.current, this.used) * LOWERED_TO);
  }

  /** @returns how long one that comes now would wait, in milliseconds; 0 when that cannot be said. */
  expectedWaitMs(now: number): number {
    if (this.queued === 0 || this.departedAt === 0) return 0;
    // After the limit was lowered as much has to depart before the first that waits may begin.
    const excess = Math.max(0, this.used - this.limit) / this.participants.size;
    return (this.queued + 1 + excess) * Math.max(this.betweenDeparturesMs, this.sinceDeparture(now));
  }

  private sinceDeparture(now: number): number {
    return this.departedAt === 0 ? 0 : now - this.departedAt;
  }
}
