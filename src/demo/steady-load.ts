import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { CoordinatorError, type Outcome } from '../coordinator/index.js';
import { ProblemException } from '../operations/problem/problem.js';
import { OrdersService } from '../orders/orders.service.js';
import { Pace } from './pace.js';
import { DEMO_CUSTOMERS, DEMO_PRODUCTS, Supplies } from './supplies.js';

/** How much traffic is wanted, and for how long. */
export interface LoadPlan {
  readonly perSecond: number;
  readonly forSeconds: number;
}

/** How the orders of the traffic have ended. */
export interface LoadCounts {
  committed: number;
  aborted: number;
  /** Decided, and not complete yet when the customer was answered. */
  pending: number;
  heuristic: number;
  /** Refused before anything was done: the coordinator was full, or a participant was not available. */
  refused: number;
}

/** The traffic, now or last. */
export interface LoadState {
  readonly running: boolean;
  /** Null before the first traffic, as all other values of it are 0 then. */
  readonly plan: LoadPlan | null;
  readonly endsAt: string | null;
  readonly started: number;
  /** Not started, because too many orders were under way. */
  readonly leftOut: number;
  readonly open: number;
  readonly counts: Readonly<LoadCounts>;
  readonly restocks: number;
  /** Why an order was refused last. */
  readonly lastRefusal: string | null;
}

/** The most orders of the traffic under way at the same time. */
const MAX_OPEN = 500;
/** The refusals that mean that supplies have run out. */
const DRY: ReadonlySet<string | undefined> = new Set([
  'OUT_OF_STOCK',
  'INSUFFICIENT_FUNDS',
  'UNKNOWN_CUSTOMER',
]);

/**
 * Places orders at a steady rate, each of another customer than the one before, and restocks when supplies
 * have run dry.
 */
@Injectable()
export class SteadyLoad implements OnModuleDestroy {
  private readonly logger = new Logger(SteadyLoad.name);
  private pace: Pace | undefined;
  private plan: LoadPlan | null = null;
  private counts = noCounts();
  private restocks = 0;
  private lastRefusal: string | null = null;
  private isDestroyed = false;

  constructor(
    private readonly orders: OrdersService,
    private readonly supplies: Supplies,
  ) {}

  /**
   * Starts the traffic, in place of one that runs. Nothing is started when the application ends meanwhile.
   *
   * @throws ProblemException 503 when the first supplies cannot be delivered. Nothing is started then.
   */
  async start(plan: LoadPlan): Promise<void> {
    await this.supplies.restock();
    if (this.isDestroyed) return;
    this.pace?.stop();
    this.plan = plan;
    this.counts = noCounts();
    this.restocks = 0;
    this.lastRefusal = null;
    const { counts } = this;
    const options = { perSecond: plan.perSecond, forMs: plan.forSeconds * 1_000, maxOpen: MAX_OPEN };
    this.pace = new Pace(options, (index) => this.place(index, counts));
  }

  /** Starts no more orders. Those under way end by themselves. */
  stop(): void {
    this.pace?.stop();
  }

  /** Resolves when no order of the traffic is under way and none will be. */
  get ended(): Promise<void> {
    return this.pace?.ended ?? Promise.resolve();
  }

  /** No order may be started once the coordinator drains. */
  onModuleDestroy(): void {
    this.isDestroyed = true;
    this.stop();
  }

  get state(): LoadState {
    const { pace, plan, counts, restocks, lastRefusal } = this;
    return {
      running: pace?.isRunning ?? false,
      plan,
      endsAt: pace?.endsAt.toISOString() ?? null,
      started: pace?.started ?? 0,
      leftOut: pace?.leftOut ?? 0,
      open: pace?.open ?? 0,
      counts,
      restocks,
      lastRefusal,
    };
  }

  /** @param counts of the traffic that the order belongs to: it may end when another one runs. */
  private async place(index: number, counts: LoadCounts): Promise<void> {
    const customerId = DEMO_CUSTOMERS[index % DEMO_CUSTOMERS.length]!;
    const sku = DEMO_PRODUCTS[index % DEMO_PRODUCTS.length]!;
    try {
      const { outcome } = await this.orders.place({ customerId, items: [{ sku, quantity: 1 }] });
      counts[outcome.status]++;
      if (ranDry(outcome)) await this.restock();
    } catch (error) {
      counts.refused++;
      this.lastRefusal = (error as Error).message;
      // Refusals are answers. Everything else is a defect, which must not stay hidden in a count.
      if (!(error instanceof CoordinatorError || error instanceof ProblemException)) this.logger.error(error);
    }
  }

  private async restock(): Promise<void> {
    const { pieces, cents } = await this.supplies.restock();
    if (pieces + cents > 0) this.restocks++;
  }
}

function ranDry(outcome: Outcome): boolean {
  return outcome.status === 'aborted' && DRY.has(outcome.code);
}

function noCounts(): LoadCounts {
  return { committed: 0, aborted: 0, pending: 0, heuristic: 0, refused: 0 };
}
