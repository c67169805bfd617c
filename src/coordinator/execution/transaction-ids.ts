const EPOCH = /^[0-9a-z]{1,11}$/;
const SEQUENCE = /^[1-9][0-9]{0,14}$/;

/**
 * Makes the ids of the transactions of one epoch of a coordinator: `<name>.<epoch>.<number>`. No two epochs share a
 * prefix, and the number says where the registry keeps the transaction, so that neither making nor finding an id costs
 * more than a few nanoseconds.
 */
export class TransactionIds {
  readonly prefix: string;

  /**
   * @param name the name of the coordinator. It has no dot in it.
   * @param epoch the number of its claim on the log.
   */
  constructor(
    private readonly name: string,
    epoch: number,
  ) {
    this.prefix = `${name}.${epoch.toString(36)}.`;
  }

  /** @param sequence the number of the transaction within this epoch, from 1. */
  make(sequence: number): string {
    return this.prefix + sequence;
  }

  /** @returns the number in an id of this epoch, or 0 when the id is not one. */
  sequenceOf(id: string): number {
    if (!id.startsWith(this.prefix)) return 0;
    const digits = id.slice(this.prefix.length);
    return SEQUENCE.test(digits) ? Number(digits) : 0;
  }

  /** @returns the epoch in an id that a coordinator of this name has made, or undefined when the id is not one. */
  epochOf(id: string): number | undefined {
    const [name, epoch, sequence, ...more] = id.split('.');
    if (name !== this.name || epoch === undefined || sequence === undefined || more.length > 0)
      return undefined;
    if (!EPOCH.test(epoch) || !SEQUENCE.test(sequence)) return undefined;
    const number = Number.parseInt(epoch, 36);
    // Another spelling of the number, such as one with leading zeros, is not of our making.
    return number.toString(36) === epoch ? number : undefined;
  }
}
