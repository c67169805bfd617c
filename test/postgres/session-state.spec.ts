import { Pool, type QueryConfig } from 'pg';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Branch, OnePhaseAnswer, Vote } from '../../src/coordinator/index.js';
import { PostgresResourceManager, type PostgresSettings, type Work } from '../../src/postgres/index.js';
import { usePostgres } from '../support/postgres/bench.js';
import { again, someBranch } from '../support/postgres/branches.js';

const bench = usePostgres({ roles: ['app'] });

beforeAll(() => bench.server.query('postgres', 'CREATE ROLE tenant NOLOGIN; GRANT tenant TO app'));

beforeEach(async () => {
  await bench.database.query(`
    GRANT CREATE, USAGE ON SCHEMA public TO app;
    CREATE SCHEMA tenant_a AUTHORIZATION app;
    CREATE TABLE tenant_a.notes (id text);
    GRANT USAGE ON SCHEMA tenant_a TO tenant;
    GRANT INSERT ON tenant_a.notes TO tenant;
    GRANT ALL ON tenant_a.notes TO app`);
});

/** A resource manager of the role `app`, whose branches come one after the other on the same connection. */
function manage(settings: PostgresSettings = {}, user = 'app'): Promise<PostgresResourceManager> {
  return bench.start({ connection: bench.database.urlBy({ user }), ...settings });
}

const gid = ({ transactionId }: Branch): string => `${transactionId}/bank/b`;

const WRITE = "INSERT INTO tenant_a.notes VALUES ('x')";

const FORMS = ['interactive', 'batch', 'one phase', 'batch in one phase'] as const;
type Form = (typeof FORMS)[number];

/** Does the work of a branch in one of the forms that there are, and commits it. */
async function commitBy(
  form: Form,
  manager: PostgresResourceManager,
  statements: readonly string[],
): Promise<Vote | OnePhaseAnswer> {
  const work: Work<unknown> = async (client) => {
    for (const sql of statements) await client.query(sql);
    return 'commit';
  };
  const batch = { statements: statements.map((text): QueryConfig => ({ text })), vote: (): Vote => 'commit' };
  if (form === 'one phase') return manager.commitOnePhase(someBranch({ attempt: 1 }), work);
  if (form === 'batch in one phase') return manager.commitBatchOnePhase(someBranch({ attempt: 1 }), batch);
  const branch = someBranch();
  const vote = await (form === 'batch' ? manager.prepareBatch(branch, batch) : manager.prepare(branch, work));
  if (vote === 'commit') await manager.commit(again(branch));
  return vote;
}

async function notes(): Promise<number> {
  return (await bench.database.query('SELECT FROM tenant_a.notes')).rowCount ?? 0;
}

describe.each(FORMS)('work that takes another role, %s', (form) => {
  it.each([
    'SET LOCAL ROLE tenant',
    'SET ROLE tenant',
    "SELECT set_config('role', 'tenant', false)",
    'DO $$ BEGIN SET ROLE tenant; END $$',
  ])('is completed by the role of the login, and the next branch has that role: %s', async (sql) => {
    const manager = await manage();

    await expect(commitBy(form, manager, [sql, WRITE])).resolves.toBe('commit');

    await expect(notes()).resolves.toBe(1);
    await expect(bench.database.prepared()).resolves.toEqual([]);
    await expect(sessionIn(manager)).resolves.toMatchObject({ role: 'app' });
  });

  it('is completed where the login takes a role by itself', async () => {
    // The role of the tenant may create nothing: the tables are there, and it may use them.
    const before = await manage();
    await commitBy('interactive', before, []);
    await before.close();
    await bench.database.query('GRANT ALL ON ALL TABLES IN SCHEMA public TO tenant');
    await bench.server.query('postgres', 'ALTER ROLE app SET role = tenant');
    try {
      const manager = await manage();
      await expect(commitBy(form, manager, [WRITE])).resolves.toBe('commit');
      await expect(commitBy(form, manager, ['SET ROLE NONE', WRITE])).resolves.toBe('commit');
      await expect(notes()).resolves.toBe(2);
    } finally {
      await bench.server.query('postgres', 'ALTER ROLE app RESET role');
    }
  });

  it('has its deferred triggers run by the role, and on the search path, that it has set', async () => {
    await bench.database.query(`
      CREATE TABLE public.ran (by_role text, path text);
      GRANT ALL ON public.ran TO tenant, app;
      CREATE FUNCTION public.run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.ran VALUES (current_user, current_setting('search_path')); RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER run AFTER INSERT ON tenant_a.notes DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION public.run()`);
    const manager = await manage();

    await commitBy(form, manager, ['SET LOCAL ROLE tenant', 'SET LOCAL search_path = tenant_a', WRITE]);

    const { rows } = await bench.database.query('SELECT by_role, path FROM public.ran');
    expect(rows).toEqual([{ by_role: 'tenant', path: 'tenant_a' }]);
  });
});

const SESSION = `
  SELECT pg_backend_pid() AS pid, current_user AS role, session_user AS login, current_setting('search_path') AS path,
    coalesce(current_setting('app.tenant', true), '') AS tenant, current_setting('work_mem') AS "workMem",
    current_setting('TimeZone') AS zone, current_setting('default_transaction_isolation') AS isolation,
    current_setting('lock_timeout') <> '0' AS "isLimited",
    (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
    (SELECT count(*)::int FROM pg_cursors WHERE is_holdable) AS cursors,
    (SELECT count(*)::int FROM pg_prepared_statements WHERE name NOT LIKE 'dtc %' AND NOT from_sql IS FALSE) AS statements,
    (SELECT count(*)::int FROM pg_listening_channels()) AS channels,
    to_regclass('pg_temp.scratch') IS NOT NULL AS "hasTable"`;

/** What a branch that has set nothing finds in its session. */
async function sessionIn(manager: PostgresResourceManager): Promise<Record<string, unknown>> {
  let found: Record<string, unknown> | undefined;
  await manager.prepare(someBranch(), async (client) => {
    const { rows } = await client.query<Record<string, unknown>>(SESSION);
    found = rows[0];
    return 'read-only';
  });
  return found!;
}

describe.each(FORMS)('settings of the work of a branch in its session, %s', (form) => {
  it.each([
    ['SET search_path = tenant_a'],
    ['SET LOCAL search_path = tenant_a'],
    ["SELECT set_config('search_path', 'tenant_a', false)"],
    ["DO $$ BEGIN PERFORM set_config('search_path', 'tenant_a', false); END $$"],
    ["SELECT set_config('app.tenant', 'a', false)"],
    ["SET app.tenant = 'a'"],
    ['SELECT public.hide()'],
    ["INSERT INTO public.triggering VALUES ('x')"],
    ["SET TIME ZONE 'Asia/Tokyo'"],
    ['SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY'],
    ['SET lock_timeout = 0'],
    ['RESET ALL'],
    ['SET SESSION AUTHORIZATION app'],
    ['SELECT pg_advisory_lock(1)'],
    ['SELECT pg_advisory_lock_shared(1, 2)'],
    ['SELECT public.lock()'],
    ['PREPARE mine AS SELECT 1'],
    ['DEALLOCATE ALL'],
  ])('is not there any more in the next: %s', async (sql) => {
    const manager = await manage({}, 'postgres');
    await bench.database.query(`
      CREATE FUNCTION public.hide() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        PERFORM set_config('search_path', 'tenant_a', false); PERFORM set_config('work_mem', '77kB', false);
        PERFORM set_config('app.tenant', 'a', false); PERFORM set_config('role', 'tenant', false); END $$;
      CREATE FUNCTION public.lock() RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_lock(3)';
      CREATE TABLE public.triggering (id text);
      CREATE FUNCTION public.hide_by_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM public.hide(); RETURN NEW; END $$;
      CREATE TRIGGER hide BEFORE INSERT ON public.triggering FOR EACH ROW EXECUTE FUNCTION public.hide_by_trigger();
      GRANT ALL ON ALL TABLES IN SCHEMA public, tenant_a TO tenant, app`);
    const { pid: _before, ...before } = await sessionIn(manager);

    await expect(commitBy(form, manager, [WRITE, sql])).resolves.toBe('commit');

    const { pid: _after, ...after } = await sessionIn(manager);
    expect(after).toEqual(before);
    await expect(commitBy(form, manager, [WRITE])).resolves.toBe('commit');
    await expect(notes()).resolves.toBe(2);
  });

  it('is not there either when the branch was refused', async () => {
    const manager = await manage({}, 'postgres');
    const { pid, ...before } = await sessionIn(manager);
    const sql = "SELECT set_config('search_path', 'tenant_a', false), pg_advisory_lock(1)";
    await expect(commitBy(form, manager, [WRITE, sql, 'SELECT 1 / 0'])).resolves.toMatchObject({
      code: 'DATA_REJECTED',
    });
    await expect(sessionIn(manager)).resolves.toEqual({ pid, ...before });
  });
});

describe('state that outlives a commit in one phase', () => {
  it.each([
    ['CREATE TEMPORARY TABLE scratch (n int)'],
    ['DECLARE mine CURSOR WITH HOLD FOR SELECT 1'],
    ['LISTEN channel'],
    [`DO $$ BEGIN EXECUTE 'CREATE TEMPORARY TABLE scratch (n int)'; EXECUTE 'LISTEN channel'; END $$`],
  ])('is not in the session of the next branch: %s', async (sql) => {
    const manager = await manage({}, 'postgres');
    const before = await sessionIn(manager);
    await expect(commitBy('one phase', manager, [sql, WRITE])).resolves.toBe('commit');
    await expect(sessionIn(manager)).resolves.toEqual(before);
  });
});

describe('the session of a branch', () => {
  it('is the same for many branches, each of which sets something', async () => {
    const manager = await manage();
    const pids = new Set<unknown>();
    for (let turn = 0; turn < 20; turn++) {
      await commitBy(turn % 2 === 0 ? 'interactive' : 'batch', manager, [
        'SET search_path = tenant_a',
        WRITE,
      ]);
      pids.add((await sessionIn(manager))['pid']);
    }
    expect(pids.size).toBe(1);
  });

  it('has no change that the work before has made to the client object', async () => {
    const manager = await manage();
    let listeners = 0;
    await manager.prepare(someBranch(), async (client) => {
      listeners = client.listenerCount('notification');
      client.on('notification', () => {});
      client.once('notice', () => {});
      client.setTypeParser(23, () => 'changed');
      Object.assign(client, { mark: 'mine' });
      expect((client as unknown as { mark: string }).mark).toBe('mine');
      expect((await client.query<{ n: unknown }>('SELECT 1 AS n')).rows[0]?.n).toBe('changed');
      return 'commit';
    });
    await manager.prepare(someBranch(), async (client) => {
      expect(client.listenerCount('notification')).toBe(listeners);
      expect((client as unknown as { mark?: string }).mark).toBeUndefined();
      expect((await client.query<{ n: unknown }>('SELECT 1 AS n')).rows[0]?.n).toBe(1);
      return 'read-only';
    });
  });

  it('keeps the settings that a hook of the pool makes when it is opened', async () => {
    const pools = {
      work: new Pool({ connectionString: bench.database.urlBy({ user: 'app' }), max: 1 }),
      completion: new Pool({ connectionString: bench.database.urlBy({ user: 'app' }), max: 3 }),
    };
    pools.work.on(
      'connect',
      (client) => void client.query("SET search_path = tenant_a, public; SET work_mem = '99kB'"),
    );
    const manager = new PostgresResourceManager('bank', { pools });
    bench.closeLater(manager);
    for (let turn = 0; turn < 3; turn++) {
      await expect(commitBy('interactive', manager, ["INSERT INTO notes VALUES ('x')"])).resolves.toBe(
        'commit',
      );
      await expect(sessionIn(manager)).resolves.toMatchObject({ path: 'tenant_a, public', workMem: '99kB' });
    }
    await manager.close();
    await Promise.all([pools.work.end(), pools.completion.end()]);
  });

  it('that could not begin a transaction is ended, and the next branch has another', async () => {
    const manager = await manage();
    const before = await sessionIn(manager);
    // Where it would stay hidden.
    await commitBy('interactive', manager, [`DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$`, WRITE]);
    await expect(commitBy('interactive', manager, [WRITE])).rejects.toMatchObject({ code: '26000' });

    const after = await sessionIn(manager);
    expect(after['pid']).not.toBe(before['pid']);
  });
});

describe('the guard table', () => {
  it('is the same on every connection, whatever the work has set', async () => {
    const manager = await manage();
    await bench.database.query(`
      CREATE TABLE tenant_a.dtc_branches (LIKE public.dtc_branches INCLUDING ALL);
      GRANT ALL ON tenant_a.dtc_branches TO app`);
    await commitBy('interactive', manager, ['SET search_path TO tenant_a', 'INSERT INTO notes VALUES (1)']);
    const late = someBranch();
    await manager.rollback(again(late));

    const work: Work<unknown> = async (client) => {
      await client.query('SET search_path TO tenant_a');
      await client.query('INSERT INTO notes VALUES (2)');
      return 'commit';
    };
    await expect(manager.prepare(late, work)).resolves.toMatchObject({ code: 'ROLLED_BACK' });

    await expect(bench.database.prepared()).resolves.toEqual([]);
    const { rowCount } = await bench.database.query('SELECT FROM tenant_a.dtc_branches');
    expect(rowCount).toBe(0);
  });

  it('may have a name as long as PostgreSQL takes, in a schema of such a name', async () => {
    const schema = `s${'s'.repeat(62)}`;
    const guardTable = `${schema}.t${'t'.repeat(62)}`;
    await bench.database.query(`CREATE SCHEMA ${schema} AUTHORIZATION app`);
    const manager = await manage({ guardTable });
    await expect(commitBy('interactive', manager, [WRITE])).resolves.toBe('commit');
    await expect(commitBy('batch', manager, [WRITE])).resolves.toBe('commit');
    await expect(bench.database.query(`SELECT FROM ${guardTable}`)).resolves.toMatchObject({ rowCount: 2 });
  });

  it('is written and read by functions of PostgreSQL, though the path finds others first', async () => {
    await bench.database.query(`
      CREATE SCHEMA odd AUTHORIZATION app;
      CREATE FUNCTION odd.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'epoch'::timestamptz $$;
      CREATE FUNCTION odd.pg_current_xact_id() RETURNS xid8 LANGUAGE sql AS $$ SELECT '1'::xid8 $$;
      CREATE FUNCTION odd.pg_advisory_unlock_all() RETURNS SETOF void LANGUAGE plpgsql AS $$ BEGIN RETURN; END $$;
      CREATE FUNCTION odd.current_database() RETURNS name LANGUAGE sql AS $$ SELECT 'none'::name $$;
      GRANT USAGE ON SCHEMA odd TO PUBLIC;
      ALTER ROLE app IN DATABASE ${bench.database.name} SET search_path = odd, pg_catalog, public`);
    const manager = await manage();
    const branch = someBranch();
    await expect(commitBy('interactive', manager, [WRITE])).resolves.toBe('commit');
    await expect(manager.prepare(branch, async () => 'commit')).resolves.toBe('commit');
    await expect(manager.prepare(again(branch, 0), async () => 'commit')).resolves.toBe('commit');
    await manager.rollback(again(branch));
    const { rows } = await bench.database.query(
      "SELECT written_at > now() - interval '1 hour' AS fresh FROM odd.dtc_branches WHERE gid = $1",
      [gid(branch)],
    );
    expect(rows).toEqual([{ fresh: true }]);
  });
});
