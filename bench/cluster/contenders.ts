import { Client } from 'pg';
import { type SharedCommitDecision, idPrefixOf } from '../../src/coordinator/index.js';
import { GroupCommit } from '../../src/coordinator/log/group-commit.js';
import { PostgresDecisionLog } from '../../src/postgres/index.js';
import { encodeCommit } from '../../src/postgres/log/records.js';
import { decisionOf } from '../durable/bare-log.js';
import type { Contender } from '../framework/contender.js';

/** The names of the contenders. */
export const KINDS = ['bare', 'log'] as const;
export type Kind = (typeof KINDS)[number];

/** A process that writes for one member. */
export type Name = `${Kind} ${number}`;

export function nameOf(kind: Kind, member: number): Name {
  return `${kind} ${member}`;
}

/** The database that keeps the decisions. */
export interface AppendSetup {
  readonly kind: Kind;
  readonly member: number;
  readonly url: string;
}

const COMMITTED = { status: 'committed' } as const;
const MAX_WAITING = 100_000;
/** Processes that start at the same moment create the table one after the other. */
const CREATION_LOCK = 1;

/** Makes a contender that writes decisions on one connection. */
export async function makeContender(name: Name, { kind, member, url }: AppendSetup): Promise<Contender> {
  const writer = kind === 'log' ? await memberOf(url) : await bareWriter(url, member);
  return {
    name,
    run: async () => {
      await writer.append();
      return COMMITTED;
    },
    close: () => writer.close(),
  };
}

/** The process that writes for one member. */
interface Writer {
  append(): Promise<void>;
  close(): Promise<void>;
}

/** The shared log, as a member of a coordinator uses it. */
async function memberOf(connection: string): Promise<Writer> {
  const log = new PostgresDecisionLog({ connection });
  const { logId, epoch } = await log.open('benchmark');
  const prefix = idPrefixOf({ name: 'benchmark', logId, epoch });
  let sequence = 0;
  return {
    append: () => log.append(decisionOf(`${prefix}${++sequence}`)),
    close: () => log.close(),
  };
}

/** The same records in the same batches, inserted without any condition: no epoch and no mark is checked. */
async function bareWriter(url: string, epoch: number): Promise<Writer> {
  const client = new Client(url);
  await client.connect();
  await client.query(`
    SELECT pg_advisory_xact_lock(${CREATION_LOCK});
    CREATE TABLE IF NOT EXISTS bare_decisions (
      log int, epoch int, sequence bigint, format int NOT NULL, record bytea NOT NULL, PRIMARY KEY (log, epoch, sequence))`);
  let sequence = 0;
  const group = new GroupCommit<{ readonly sequence: number; readonly record: Buffer }>(async (items) => {
    await client.query(
      `INSERT INTO bare_decisions (log, epoch, sequence, format, record)
       SELECT 1, $1, sequence, 1, record FROM unnest($2::bigint[], $3::bytea[]) AS given (sequence, record)`,
      [epoch, items.map((item) => item.sequence), items.map((item) => item.record)],
    );
    return new Map();
  }, MAX_WAITING);
  return {
    append: () => {
      const decision: SharedCommitDecision = decisionOf(`benchmark.0000000.${epoch}.${++sequence}`);
      return group.add({ sequence, record: encodeCommit(decision.toRecord()) });
    },
    close: () => client.end(),
  };
}
