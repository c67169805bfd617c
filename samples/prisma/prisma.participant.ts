import { PrismaPg } from '@prisma/adapter-pg';
import pg, { type PoolClient } from 'pg';
import { type Branch, Participant, type Vote, refuse } from '../../src/coordinator/index.js';
import { PostgresParticipant } from '../../src/postgres/index.js';
import { PrismaClient } from './generated/client.js';

/** The payload of a branch: pieces to take from the stock. */
interface Reservation {
  readonly sku: string;
  readonly quantity: number;
}

/** A pool with one connection, that of a branch. It keeps the first error of the database. */
class BranchPool extends pg.Pool {
  failure: unknown;

  constructor(private readonly client: PoolClient) {
    super();
  }

  override connect(): never {
    return Promise.resolve(this.client) as never;
  }

  override query(...query: unknown[]): never {
    const client = this.client as unknown as { query(...query: unknown[]): Promise<unknown> };
    const result = client.query(...query);
    result.catch((error: unknown) => {
      this.failure ??= error;
    });
    return result as never;
  }
}

/** Runs work with a Prisma client in the transaction of a branch. The error of the database comes first. */
export async function withPrisma<T>(
  client: PoolClient,
  work: (prisma: PrismaClient) => Promise<T>,
): Promise<T> {
  const pool = new BranchPool(client);
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });
  try {
    return await work(prisma);
  } catch (error) {
    throw pool.failure ?? error;
  } finally {
    await prisma.$disconnect();
  }
}

/** Takes pieces out of the stock, and notes for which transaction. */
@Participant({ name: 'prisma-stock' })
export class PrismaStock extends PostgresParticipant<Reservation> {
  constructor() {
    super({ connection: process.env['STOCK_DATABASE_URL'] ?? 'postgres://localhost/stock' });
  }

  protected work(client: PoolClient, { transactionId, payload }: Branch<Reservation>): Promise<Vote> {
    return withPrisma(client, async (prisma) => {
      const { sku, quantity } = payload;
      const { count } = await prisma.stock.updateMany({
        where: { sku, available: { gte: quantity } },
        data: { available: { decrement: quantity } },
      });
      if (count === 0) return refuse('OUT_OF_STOCK', `fewer than ${quantity} of ${sku} are left`);
      await prisma.reservation.create({ data: { transactionId, sku, quantity } });
      return 'commit';
    });
  }
}
