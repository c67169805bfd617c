/** The number of characters in the id of a log: 62 random bits, so that no two logs share an id. */
export const LOG_ID_LENGTH = 12;

/** The most starts of a log: the epoch has four characters in an id. */
export const MAX_EPOCH = 36 ** 4 - 1;

const LOG_ID = /^[0-9a-z]{12}$/;
const EPOCH = /^[1-9a-z][0-9a-z]{0,3}$/;
const SEQUENCE = /^[1-9][0-9]{0,12}$/;
/** The highest number of an id has 13 digits. */
const MAX_THOUSANDS = 9_999_999_999;
/**
 * The last three digits of a number, as texts: to make a text of a number takes longer than all else in an
 * id.
 */
const LAST_DIGITS: readonly string[] = Array.from({ length: 1_000 }, (_, digits) =>
  String(digits).padStart(3, '0'),
);

/**
 * The name and the log of the coordinator that made an id, and the number of the start of that log.
 *
 * @publicApi
 */
export interface IdOrigin {
  readonly name: string;
  readonly logId: string;
  readonly epoch: number;
}

/**
 * Makes the ids of the transactions of one run of a coordinator: `<name>.<logId>.<epoch>.<number>`, at most
 * 64 bytes, the limit of X/Open XA. No two runs share a prefix, unless their logs are copies of one log. The
 * number is the transaction's place in the registry, so making and finding an id takes only nanoseconds.
 */
export class TransactionIds {
  private current: string;
  /** The prefix and the thousands of the latest id: nearly always those of the next one too. */
  private block = '';
  private thousands = 0;
  /** The prefixes of earlier runs of this process. */
  private former: string[] = [];

  /**
   * @param name the name of the coordinator: at most 32 characters, and no dot.
   * @param logId the id of its log.
   * @param epoch the number of the start of the log.
   * @throws RangeError when these do not make an id of at most 64 bytes.
   */
  constructor(
    private readonly name: string,
    private readonly logId: string,
    epoch: number,
  ) {
    if (!isLogId(logId)) {
      throw new RangeError(
        `The decision log gives its id as ${JSON.stringify(logId)}, not as ${LOG_ID_LENGTH} characters of 0-9 and a-z.`,
      );
    }
    this.current = this.prefixOf(epoch);
  }

  /** The beginning of all ids of the present run. */
  get prefix(): string {
    return this.current;
  }

  /**
   * From now on ids are made for a later run of this process. Those of its earlier runs are still found.
   *
   * @throws RangeError when the epoch does not make an id, or was used before. Nothing has changed then.
   */
  startAgain(epoch: number): void {
    const next = this.prefixOf(epoch);
    if (next === this.current || this.former.includes(next))
      throw new RangeError(`The decision log gives out the epoch ${epoch} a second time.`);
    this.former.push(this.current);
    this.current = next;
    this.thousands = 0;
  }

  /** How many earlier runs of this process are still known. */
  get formerRuns(): number {
    return this.former.length;
  }

  /** Forgets earlier runs of this process, by what the ids of their transactions begin with. */
  forgetFormer(isOver: (prefix: string) => boolean): void {
    this.former = this.former.filter((prefix) => !isOver(prefix));
  }

  /** Whether an id was made in the present run, and not in an earlier run of this process. */
  isCurrent(id: string): boolean {
    return id.startsWith(this.current);
  }

  private prefixOf(epoch: number): string {
    if (!Number.isInteger(epoch) || epoch < 1 || epoch > MAX_EPOCH) {
      throw new RangeError(`The decision log gives out the epoch ${epoch}, not one from 1 to ${MAX_EPOCH}.`);
    }
    return idPrefixOf({ name: this.name, logId: this.logId, epoch });
  }

  /**
   * @param sequence the number of the transaction within this epoch, from 1.
   * @throws RangeError for more than ten million million.
   */
  make(sequence: number): string {
    if (sequence < 1_000) return this.current + sequence;
    const last = sequence % 1_000;
    const thousands = (sequence - last) / 1_000;
    if (thousands !== this.thousands) this.beginBlock(thousands);
    return this.block + LAST_DIGITS[last]!;
  }

  /** @throws RangeError when the ids of this run are used up. */
  private beginBlock(thousands: number): void {
    if (thousands > MAX_THOUSANDS)
      throw new RangeError('The ids of this run are used up: restart the process.');
    this.thousands = thousands;
    this.block = `${this.current}${thousands}`;
  }

  /** @returns the number in an id of a run of this process, or 0 when the id is not one. */
  sequenceOf(id: string): number {
    const prefix = id.startsWith(this.current)
      ? this.current
      : this.former.find((earlier) => id.startsWith(earlier));
    if (prefix === undefined) return 0;
    const digits = id.slice(prefix.length);
    return SEQUENCE.test(digits) ? Number(digits) : 0;
  }

  /**
   * @returns `own` and the epoch for an id of this log; `other-log` for an id with this name and another log;
   * `other-name` for an id of another coordinator; `malformed` for any other text.
   */
  originOf(id: string): { readonly kind: 'own'; readonly epoch: number } | { readonly kind: ForeignOrigin } {
    const origin = originOf(id);
    if (origin === undefined) return { kind: 'malformed' };
    if (origin.name !== this.name) return { kind: 'other-name' };
    return origin.logId === this.logId ? { kind: 'own', epoch: origin.epoch } : { kind: 'other-log' };
  }
}

/** Why an id does not belong to this log. */
export type ForeignOrigin = 'other-log' | 'other-name' | 'malformed';

/** @returns the prefix of the ids of all transactions whose decisions are in one log: `<name>.<logId>.`. */
export function logPrefixOf({ name, logId }: Omit<IdOrigin, 'epoch'>): string {
  return `${name}.${logId}.`;
}

/** @returns the prefix of the ids of a run's transactions: `<name>.<logId>.<epoch>.`. @publicApi */
export function idPrefixOf(origin: IdOrigin): string {
  return `${logPrefixOf(origin)}${origin.epoch.toString(36)}.`;
}

/**
 * @returns the name of the coordinator in a transaction id: the part before the first dot. The rest of the id
 * is not checked; {@link originOf} checks it.
 * @publicApi
 */
export function coordinatorNameOf(id: string): string {
  const end = id.indexOf('.');
  return end === -1 ? id : id.slice(0, end);
}

/** Whether a text has the form of a log id. */
export function isLogId(text: string): boolean {
  return LOG_ID.test(text);
}

/** @returns the run that made an id, or undefined when no coordinator made it. @publicApi */
export function originOf(id: string): IdOrigin | undefined {
  const [name, logId, epoch, sequence, ...more] = id.split('.');
  if (!name || logId === undefined || epoch === undefined || sequence === undefined || more.length > 0)
    return undefined;
  if (!isLogId(logId) || !EPOCH.test(epoch) || !SEQUENCE.test(sequence)) return undefined;
  return { name, logId, epoch: Number.parseInt(epoch, 36) };
}
