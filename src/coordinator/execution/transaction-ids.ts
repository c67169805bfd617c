import { randomBytes } from 'node:crypto';

/**
 * Makes the ids of the transactions of one run of a coordinator: `<name>.<start of the run><random>.<number>`. No
 * two runs share a prefix, and the number says where the registry keeps the transaction, so that neither making nor
 * finding an id costs more than a few nanoseconds.
 */
export class TransactionIds {
  readonly prefix: string;

  /**
   * @param name the name of the coordinator.
   * @param startedAt milliseconds since the epoch.
   * @param random 40 bits, in hexadecimal.
   */
  constructor(name: string, startedAt: number = Date.now(), random: string = randomBytes(5).toString('hex')) {
    this.prefix = `${name}.${startedAt.toString(36)}${random}.`;
  }

  /** @param sequence the number of the transaction within this run, from 1. */
  make(sequence: number): string {
    return this.prefix + sequence;
  }

  /** @returns the number in an id of this run, or 0 when the id is not one. */
  sequenceOf(id: string): number {
    if (!id.startsWith(this.prefix)) return 0;
    const digits = id.slice(this.prefix.length);
    return /^[1-9][0-9]{0,14}$/.test(digits) ? Number(digits) : 0;
  }
}
