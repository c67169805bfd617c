/** The guard table in the catalogue of the database. */
export interface GuardTableShape {
  /** `r` for an ordinary table. */
  readonly kind: string;
  /** `p` for a permanent table, `u` for an unlogged one. */
  readonly persistence: string;
  /** Whether gid is unique, and this is checked at once. */
  readonly hasKey: boolean;
  readonly columns: readonly {
    readonly name: string;
    readonly type: string;
    readonly hasDefault: boolean;
  }[];
}

/** The problem of a guard table, and its remedy. */
export interface GuardTableFault {
  readonly problem: string;
  readonly remedy: string;
}

/** SQL for the shape of the table whose oid `guard` is, as one value of JSON. */
export const GUARD_TABLE_SHAPE = `
  SELECT json_build_object('kind', relkind, 'persistence', relpersistence,
    'hasKey', EXISTS (SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
      WHERE indrelid = guard AND indnkeyatts = 1 AND attname = 'gid'
        AND indisunique AND indimmediate AND indisvalid AND indpred IS NULL),
    'columns', (SELECT json_agg(json_build_object('name', attname, 'type', format_type(atttypid, atttypmod),
        'hasDefault', atthasdef) ORDER BY attname)
      FROM pg_attribute WHERE attrelid = guard AND attnum > 0 AND NOT attisdropped))
  FROM pg_class WHERE oid = guard`;

/** The required columns of the written rows, which set the first two. */
const COLUMNS = {
  gid: { type: 'text' },
  state: { type: 'text' },
  xid: { type: 'xid8', default: 'pg_current_xact_id()' },
  written_at: { type: 'timestamp with time zone', default: 'now()' },
} as const;

/** @returns the first problem that makes a table unfit as guard table, or undefined when it fits. */
export function faultOf(name: string, shape: GuardTableShape): GuardTableFault | undefined {
  const { kind, persistence, hasKey } = shape;
  const columns = new Map((shape.columns ?? []).map((column) => [column.name, column]));
  if (kind !== 'r' || Object.keys(COLUMNS).some((column) => !columns.has(column))) {
    return {
      problem: `the table ${name} has the columns ${[...columns.keys()].join(', ') || 'of none'}, and is another table`,
      remedy: 'Choose another name with the option guardTable, or rename that table.',
    };
  }
  for (const [column, wanted] of Object.entries(COLUMNS)) {
    const { type, hasDefault } = columns.get(column)!;
    const alter = `Run this as its owner: ALTER TABLE ${name} ALTER COLUMN ${column}`;
    if (type !== wanted.type) {
      return {
        problem: `the column ${column} of ${name} is ${type}, and has to be ${wanted.type}`,
        remedy: `${alter} TYPE ${wanted.type} USING ${column}::text::${wanted.type};`,
      };
    }
    if ('default' in wanted && !hasDefault) {
      return {
        problem: `the column ${column} of ${name} has no default`,
        remedy: `${alter} SET DEFAULT ${wanted.default};`,
      };
    }
  }
  if (!hasKey) {
    return {
      problem: `${name} has no unique index on gid, so that a branch could be prepared after its rollback`,
      remedy: `Run this as its owner: CREATE UNIQUE INDEX ON ${name} (gid);`,
    };
  }
  if (persistence !== 'p') {
    return {
      problem: `${name} is unlogged, so that a crash of the server would empty it`,
      remedy: `Run this as its owner: ALTER TABLE ${name} SET LOGGED;`,
    };
  }
  return undefined;
}
