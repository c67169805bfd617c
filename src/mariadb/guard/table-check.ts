import type { Session } from '../connection/session.js';

/** A column of a table in the catalogue of the database. */
interface Column {
  readonly name: string;
  readonly type: string;
  readonly bytes: string | null;
  readonly charset: string | null;
  readonly hasDefault: string;
}

/** The guard table in the catalogue of the database. */
export interface GuardTableShape {
  readonly engine: string | null;
  readonly columns: readonly Column[];
  /** Whether gid is the whole of a unique index. */
  readonly hasKey: boolean;
}

/** The problem of a guard table, and its remedy. */
export interface GuardTableFault {
  readonly problem: string;
  readonly remedy: string;
}

const REQUIRED = ['gid', 'state', 'session_mark', 'written_at'];

/** The longest global id. */
const GID_BYTES = 129;

/** @returns the shape of a table, or undefined when it is missing or its user may not see it. */
export async function shapeOf(
  session: Session,
  database: string,
  table: string,
): Promise<GuardTableShape | undefined> {
  const [found] = await session.rows<{ engine: string | null }>(
    'SELECT ENGINE AS engine FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?',
    [database, table],
  );
  if (found === undefined) return undefined;
  const columns = await session.rows<Column>(
    `SELECT COLUMN_NAME AS name, DATA_TYPE AS type, CAST(CHARACTER_OCTET_LENGTH AS CHAR) AS bytes, CHARACTER_SET_NAME AS charset,
      CAST(COLUMN_DEFAULT IS NOT NULL AND COLUMN_DEFAULT <> 'NULL' AS CHAR) AS hasDefault
      FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?`,
    [database, table],
  );
  const keys = await session.rows<{ columns: string }>(
    `SELECT GROUP_CONCAT(CONCAT(COLUMN_NAME, IFNULL(SUB_PART, '')) ORDER BY SEQ_IN_INDEX) AS columns
      FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 GROUP BY INDEX_NAME`,
    [database, table],
  );
  return { engine: found.engine, columns, hasKey: keys.some((key) => key.columns === 'gid') };
}

/** @returns the first problem that makes a table unfit as guard table, or undefined when it fits. */
export function faultOf(name: string, shape: GuardTableShape): GuardTableFault | undefined {
  const columns = new Map(shape.columns.map((column) => [column.name, column]));
  if (REQUIRED.some((column) => !columns.has(column))) {
    return {
      problem: `the table ${name} has the columns ${[...columns.keys()].join(', ')}, and is another table`,
      remedy: 'Choose another name with the option guardTable, or rename that table.',
    };
  }
  if (shape.engine?.toLowerCase() !== 'innodb') {
    return {
      problem: `${name} uses the engine ${shape.engine}, which takes no part in transactions`,
      remedy: `Run this: ALTER TABLE ${name} ENGINE = InnoDB;`,
    };
  }
  const gid = columns.get('gid')!;
  if (gid.type !== 'varchar' || Number(gid.bytes) < GID_BYTES || gid.charset !== 'ascii') {
    return {
      problem: `the column gid of ${name} is ${gid.type}(${gid.bytes}) in ${gid.charset}, and has to hold ${GID_BYTES} bytes of ascii`,
      remedy: `Run this: ALTER TABLE ${name} MODIFY gid varchar(${GID_BYTES}) CHARACTER SET ascii COLLATE ascii_bin NOT NULL;`,
    };
  }
  if (columns.get('written_at')!.hasDefault !== '1') {
    return {
      problem: `the column written_at of ${name} has no default`,
      remedy: `Run this: ALTER TABLE ${name} MODIFY written_at timestamp(3) NOT NULL DEFAULT current_timestamp(3);`,
    };
  }
  if (!shape.hasKey) {
    return {
      problem: `${name} has no unique index on gid, so that a branch could be prepared after its rollback`,
      remedy: `Run this: ALTER TABLE ${name} ADD PRIMARY KEY (gid);`,
    };
  }
  return undefined;
}
