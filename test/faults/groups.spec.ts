import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Shop, turns } from '../../src/coordinator/groups/shop.fixture.js';
import { Stock } from '../../src/coordinator/groups/stock.fixture.js';
import type { CommitDecision } from '../../src/coordinator/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import { type Image, imageOf, restore, temporaryFolder } from '../../src/sqlite/log-image.fixture.js';

const MORE_TEA = { take: { tea: -1 } };
const WAL = 'decisions.sqlite-wal';
const TAIL = 'decisions.sqlite-tail';
const { path, remove } = temporaryFolder();
let folders = 0;

afterAll(remove);

/** The state that a coordinator has left when it ended with a group of two under way. */
interface Remains {
  readonly one: Stock;
  readonly two: Stock;
  /** The ids of the members. */
  readonly members: readonly string[];
  /** The files of its log, with the record of the group. */
  readonly log: Image;
  /** The same files, as if the record had been written and not acknowledged. */
  readonly unacknowledged: Image;
}

/**
 * @param hears whether the coordinator hears that the record is durable: then it tells one of the two stocks
 * to commit.
 */
async function crashed(hears: boolean): Promise<Remains> {
  const folder = join(path, String(++folders));
  const log = new SqliteDecisionLog({ path: folder });
  const claim = await log.open('coordinator');
  const [one, two] = [new Stock(), new Stock()];
  const files = join(folder, 'coordinator');
  const written = Promise.withResolvers<void>();
  const members: string[] = [];
  let before: Image = {};
  const append = log.append.bind(log);
  log.append = async (decision: CommitDecision) => {
    const record = decision.toRecord();
    if (record.members === undefined) return append(decision);
    members.push(...record.members.map(({ id }) => id));
    before = imageOf(files);
    two.before = ({ step }) => (step === 'commit' ? new Promise(() => {}) : undefined);
    await append(decision);
    written.resolve();
    return hears ? undefined : new Promise(() => {});
  };
  const shop = new Shop({ one, two }, log as never, { claim });
  void shop.behind(() => [shop.run(MORE_TEA), shop.run(MORE_TEA)]);
  await written.promise;
  await turns();
  const image = imageOf(files);
  await log.close();
  two.before = () => {};
  return { one, two, members, log: image, unacknowledged: { ...image, [TAIL]: before[TAIL]! } };
}

/** Starts a coordinator over the files of the former one, and lets it do what is left. */
async function startAgain({ one, two }: Remains, image: Image) {
  const folder = join(path, String(++folders));
  restore(image, join(folder, 'coordinator'));
  const log = new SqliteDecisionLog({ path: folder });
  const claim = await log.open('coordinator');
  const { coordinator } = new Shop({ one, two }, log as never, { claim, orphanSafetyMs: 100 });
  for (let pass = 0; pass < 4; pass++) {
    await coordinator.recover();
    await coordinator.clock.advance(200);
  }
  await log.close();
  return { warning: claim.warning, transactions: coordinator.transactions };
}

describe('a group whose coordinator has ended', () => {
  it('fault 37: when half of its databases had been told, is committed in the others, with each member', async () => {
    const remains = await crashed(true);
    const { one, two, members } = remains;
    expect([one.contents, two.contents]).toEqual([{ blocker: 1, tea: 2 }, { blocker: 1 }]);
    const { transactions } = await startAgain(remains, remains.log);
    expect([one.contents, two.contents]).toEqual([
      { blocker: 1, tea: 2 },
      { blocker: 1, tea: 2 },
    ]);
    expect([one.isIdle, two.isIdle]).toEqual([true, true]);
    for (const id of members) expect(await transactions.decisionFor(id)).toBe('commit');
  });

  it('fault 23: when the log had its record unheard, is committed, with each member', async () => {
    const remains = await crashed(false);
    const { one, two, members } = remains;
    expect([one.contents, two.contents]).toEqual([{ blocker: 1 }, { blocker: 1 }]);
    const { transactions } = await startAgain(remains, remains.unacknowledged);
    for (const stock of [one, two]) expect(stock.contents).toEqual({ blocker: 1, tea: 2 });
    for (const id of members) expect(await transactions.decisionFor(id)).toBe('commit');
  });

  it.each([1, 100, 4_120])(
    'fault 25: when its record is torn, and lacks the last %i bytes, is rolled back, with each member',
    async (missing) => {
      const remains = await crashed(false);
      const { one, two, members, unacknowledged } = remains;
      const wal = unacknowledged[WAL]!;
      const torn = { ...unacknowledged, [WAL]: wal.subarray(0, wal.length - missing) };
      const { transactions, warning } = await startAgain(remains, torn);
      expect(warning).toMatch(/was interrupted, and was dropped/);
      for (const stock of [one, two]) expect([stock.contents, stock.isIdle]).toEqual([{ blocker: 1 }, true]);
      for (const id of members) expect(await transactions.decisionFor(id)).toBe('abort');
    },
  );
});
