import type { Session } from '../connection/session.js';

/** A column of a table in the catalogue of the database. */
interface Column {
  readonly name: string;
  readonly type: string;
  readonly bytes: string | null;
  /** As in SQL, such as `varchar(64)`. */
  readonly full: string;
  readonly charset: string | null;
  readonly collation: string | null;
  readonly hasDefault: string;
}

/** A table in the catalogue of the database. */
export interface TableShape {
  readonly engine: string | null;
  readonly columns: readonly Column[];
  /** The columns of its primary key with commas; empty when it has none. */
  readonly key: string;
}

/** The problem of a table, and its remedy. */
export interface TableFault {
  readonly problem: string;
  readonly remedy: string;
}

const REQUIRED = ['gid', 'state', 'session_mark', 'written_at'];

/** The longest global id. */
const GID_BYTES = 129;

/** They tell names apart by case. The names that are stored in them end with no space. */
export const ASCII_BINARY: readonly string[] = ['ascii_bin', 'ascii_nopad_bin'];

/** @returns the shape of a table, or undefined when it is missing or its user may not see it. */
export async function shapeOf(
  session: Session,
  database: string,
  table: string,
): Promise<TableShape | undefined> {
  const [found] = await session.rows<{ engine: string | null }>(
    'SELECT ENGINE AS engine FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?',
    [database, table],
  );
  if (found === undefined) return undefined;
  const columns = await session.rows<Column>(
    `SELECT COLUMN_NAME AS name, DATA_TYPE AS type, CAST(CHARACTER_OCTET_LENGTH AS CHAR) AS bytes, COLUMN_TYPE AS full,
      CHARACTER_SET_NAME AS charset, COLLATION_NAME AS collation,
      CAST(COLUMN_DEFAULT IS NOT NULL AND COLUMN_DEFAULT <> 'NULL' AS CHAR) AS hasDefault
      FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?`,
    [database, table],
  );
  const [key] = await session.rows<{ columns: string | null }>(
    `SELECT GROUP_CONCAT(CONCAT(COLUMN_NAME, IFNULL(SUB_PART, '')) ORDER BY SEQ_IN_INDEX) AS columns
      FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND INDEX_NAME = 'PRIMARY'`,
    [database, table],
  );
  return { engine: found.engine, columns, key: key?.columns ?? '' };
}

/** @returns the first problem that makes a table unfit as guard table, or undefined when it fits. */
export function faultOf(name: string, shape: TableShape): TableFault | undefined {
  const columns = new Map(shape.columns.map((column) => [column.name, column]));
  if (REQUIRED.some((column) => !columns.has(column))) {
    return {
      problem: `the table ${name} has the columns ${[...columns.keys()].join(', ')}, and is another table`,
      remedy: 'Choose another name with the option guardTable, or rename that table.',
    };
  }
  const engine = engineFaultOf(name, shape);
  if (engine !== undefined) return engine;
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
  return keyFaultOf(name, shape, ['gid'], { gid: ASCII_BINARY });
}

/**
 * @param key the columns of the primary key that the table needs. A session may switch the checks of other
 * unique indexes off.
 * @param collations of its columns with text, the allowed ones. With others two names could be the same row.
 * @returns the first problem by which rows of different names could be taken for one, or would take no part
 * in transactions.
 */
export function keyFaultOf(
  name: string,
  shape: TableShape,
  key: readonly string[],
  collations: Readonly<Record<string, readonly string[]>>,
): TableFault | undefined {
  const engine = engineFaultOf(name, shape);
  if (engine !== undefined) return engine;
  for (const [column, allowed] of Object.entries(collations)) {
    const found = shape.columns.find((one) => one.name === column);
    if (found === undefined || allowed.includes(found.collation ?? '')) continue;
    const [wanted = ''] = allowed;
    return {
      problem: `the column ${column} of ${name} has the collation ${found.collation}, so that two names may be the same for it`,
      remedy:
        `Run this: ALTER TABLE ${name} MODIFY ${column} ${found.full} CHARACTER SET ${wanted.split('_')[0]} ` +
        `COLLATE ${wanted} NOT NULL;`,
    };
  }
  if (shape.key === key.join(',')) return undefined;
  const drop = shape.key === '' ? '' : 'DROP PRIMARY KEY, ';
  return {
    problem: `${name} has no primary key of (${key.join(', ')}), so that it could have two rows of one name`,
    remedy: `Run this: ALTER TABLE ${name} ${drop}ADD PRIMARY KEY (${key.join(', ')});`,
  };
}

function engineFaultOf(name: string, { engine }: TableShape): TableFault | undefined {
  if (engine?.toLowerCase() === 'innodb') return undefined;
  return {
    problem: `${name} uses the engine ${engine}, which takes no part in transactions`,
    remedy: `Run this: ALTER TABLE ${name} ENGINE = InnoDB;`,
  };
}
