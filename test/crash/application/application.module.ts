import { join } from 'node:path';
import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Injectable,
  Module,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { Pool } from 'pg';
import { CoordinatorModule } from '../../../src/coordinator/index.js';
import { SqliteDecisionLog } from '../../../src/sqlite/index.js';
import type { PostgresParticipantOptions, PostgresPools } from '../../../src/postgres/index.js';
import type { Settings } from '../messages.js';
import { Gates, HouseBank, PayeeBank, PayerBank } from './bank.js';
import { CrashPoints } from './crash-points.js';
import { crashingClient } from './crashing-client.js';
import { CrashingLog } from './crashing-log.js';
import { GroupedHouseBank, GroupedPayeeBank, GroupedPayerBank } from './grouped-bank.js';
import { HoldingHouse } from './holding-house.js';
import { LastHouse } from './last-house.js';
import { MessagesOfPayees } from './messages-of-payees.js';
import { Stock } from './stock.js';

/** The name of the coordinator, by which its log and its prepared branches are found again. */
export const NAME = 'bank';

/** Far too long for a test of speed. Here only a fault may make a call last that long. */
const PATIENCE_MS = 60_000;

/**
 * The pools that the participants got. They belong to the application, which closes them when all is over.
 */
@Injectable()
class Connections implements BeforeApplicationShutdown, OnApplicationShutdown {
  constructor(
    private readonly points: CrashPoints,
    private readonly pools: readonly PostgresPools[],
    private readonly lastHouse: Pool,
    private readonly messages: MessagesOfPayees | undefined,
  ) {}

  beforeApplicationShutdown(): void {
    this.points.reached('after drain');
  }

  async onApplicationShutdown(): Promise<void> {
    const ofBanks = this.pools.flatMap(({ work, completion }) => [work.end(), completion.end()]);
    await Promise.all([...ofBanks, this.lastHouse.end(), this.messages?.close()]);
  }
}

/**
 * The application: a coordinator with a durable log, banks in three databases, and a stock in MariaDB. All is
 * real but the crash points.
 */
@Module({})
export class ApplicationModule {
  static with(settings: Settings, points: CrashPoints): { module: DynamicModule; log: CrashingLog } {
    const { databases, logPath, run, stock, flushedCopy, timeoutMs = PATIENCE_MS } = settings;
    const client = crashingClient(points);
    const pools = databases.map((connectionString): PostgresPools => {
      const config = { connectionString, application_name: run, pipeline: true, Client: client };
      return { work: new Pool({ ...config, max: 8 }), completion: new Pool({ ...config, max: 4 }) };
    });
    const lastHouse = new Pool({ connectionString: databases[2], application_name: run, max: 4 });
    const messages = settings.sendsMessages ? new MessagesOfPayees(databases[1], points) : undefined;
    const options = pools.map((pair): PostgresParticipantOptions => ({ pools: pair, lockTimeoutMs: 10_000 }));
    const copy = flushedCopy === undefined ? undefined : { from: join(logPath, NAME), to: flushedCopy };
    const log = new CrashingLog(new SqliteDecisionLog({ path: logPath }), points, copy);
    const coordinator = CoordinatorModule.forRoot({
      name: NAME,
      log,
      timeoutMs,
      prepareTimeoutMs: timeoutMs,
      completionTimeoutMs: timeoutMs,
      completionWaitMs: PATIENCE_MS,
      shutdownGraceMs: PATIENCE_MS,
      retryBaseMs: 10,
      retryCapMs: 100,
      recoveryIntervalMs: 50,
      orphanSafetyMs: 50,
    });
    const providers = [
      Gates,
      PayerBank,
      PayeeBank,
      HouseBank,
      GroupedPayerBank,
      GroupedPayeeBank,
      GroupedHouseBank,
      LastHouse,
      HoldingHouse,
      ...(stock === undefined
        ? []
        : [Stock, { provide: 'stock', useValue: { connection: stock, lockTimeoutSeconds: 10 } }]),
      { provide: CrashPoints, useValue: points },
      { provide: 'payer', useValue: options[0] },
      { provide: 'payee', useValue: options[1] },
      { provide: 'house', useValue: options[2] },
      { provide: 'last-house', useValue: lastHouse },
      { provide: Connections, useFactory: () => new Connections(points, pools, lastHouse, messages) },
      { provide: 'outbox', useValue: messages?.outbox },
    ];
    return {
      module: {
        module: ApplicationModule,
        imports: [coordinator, ...(messages === undefined ? [] : [messages.relay])],
        providers,
      },
      log,
    };
  }
}
