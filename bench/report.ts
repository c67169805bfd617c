import type { ClusterFigures } from './cluster/cluster.js';
import { clusterTable } from './cluster/table.js';
import { durableTable } from './durable/table.js';
import type { Durable } from './durable/durable.js';
import type { Machine } from './machine.js';
import type { InMemory } from './memory/in-memory.js';
import type { OverloadLevel } from './overload/overload.js';
import { overloadTable } from './overload/table.js';
import { inMemoryTable } from './memory/table.js';
import type { Postgres } from './postgres/postgres.js';
import { postgresTable } from './postgres/table.js';
import type { RemoteLevel } from './remote/remote.js';
import { remoteTable } from './remote/table.js';
import type { Part } from './settings.js';

/** Everything that one run has measured, as `--json` prints it. A part that was not measured is null. */
export interface Report extends Nullable<InMemory> {
  readonly durable: Durable | null;
  readonly remote: readonly RemoteLevel[] | null;
  readonly postgres: Postgres | null;
  readonly cluster: ClusterFigures | null;
  readonly overload: readonly OverloadLevel[] | null;
  /** Why a part is null. */
  readonly notMeasured: Readonly<Partial<Record<Part, string>>>;
  readonly machine: Machine;
  readonly commit: string | null;
  /** When the run began, in ISO 8601. */
  readonly measuredAt: string;
  /** Whether the figures are rough. */
  readonly quick: boolean;
}

type Nullable<T> = { readonly [Key in keyof T]: T[Key] | null };

/** The report for people. */
export function tableOf(report: Report): string {
  const {
    inMemory,
    retained,
    latency,
    durable,
    remote,
    postgres,
    cluster,
    overload,
    notMeasured,
    machine,
    commit,
    quick,
  } = report;
  const sections = [
    [
      `${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}, ` +
        `load ${machine.loadAverage.join(' ')}, commit ${commit ?? 'unknown'}${quick ? ', quick and rough' : ''}`,
    ],
    inMemory && retained && latency ? inMemoryTable({ inMemory, retained, latency }) : [],
    durable ? durableTable(durable) : [],
    remote ? remoteTable(remote) : [],
    postgres ? postgresTable(postgres) : [],
    cluster ? clusterTable(cluster) : [],
    overload ? overloadTable(overload) : [],
    Object.entries(notMeasured).map(([part, reason]) => `Not measured: ${part}, ${reason}`),
  ];
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => `${lines.join('\n')}\n`)
    .join('\n');
}
