import {
  type Branch,
  type LastResource,
  type LastResourceAnswer,
  Participant,
  branchKey,
  refuse,
} from '../../src/coordinator/index.js';

export interface ShopOrder {
  readonly sku: string;
  readonly quantity: number;
}

/** The API of a web shop that cannot prepare. It knows each request by its idempotency key. */
export interface ShopApi {
  /** @returns why the shop refuses the order; undefined when it was created. */
  create(key: string, order: ShopOrder, signal: AbortSignal): Promise<string | undefined>;
  /** Cancels an order, also one that has not arrived yet: the shop refuses the key from then on. @returns whether the order exists. */
  cancelUnlessCreated(key: string): Promise<boolean>;
}

export abstract class ShopClient implements ShopApi {
  abstract create(key: string, order: ShopOrder, signal: AbortSignal): Promise<string | undefined>;
  abstract cancelUnlessCreated(key: string): Promise<boolean>;
}

@Participant({ name: 'shop', lastResource: true, prepareTimeoutMs: 2_000 })
export class ShopOrders implements LastResource<ShopOrder> {
  constructor(private readonly api: ShopClient) {}

  async commit(branch: Branch<ShopOrder>): Promise<LastResourceAnswer> {
    const problem = await this.api.create(branchKey(branch), branch.payload, branch.signal);
    return problem === undefined ? 'committed' : refuse('SHOP_REFUSED', problem);
  }

  async inquire(branch: Branch<ShopOrder>): Promise<LastResourceAnswer> {
    return (await this.api.cancelUnlessCreated(branchKey(branch))) ? 'committed' : 'never';
  }
}
