import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import { withTemporaryFolder } from '../framework/temporary-folder.js';
import { decisionOf } from './bare-log.js';

// Measures a start that has many records to read and check: `node build/bench/durable/start.js [records]`.

const NAME = 'benchmark';
const AT_ONCE = 10_000;

const records = Number(process.argv[2] ?? 100_000);

await withTemporaryFolder(async (path) => {
  const log = new SqliteDecisionLog({ path });
  const { logId } = await log.open(NAME);
  for (let first = 0; first < records; first += AT_ONCE) {
    const numbers = Array.from({ length: Math.min(AT_ONCE, records - first) }, (_, index) => first + index);
    await Promise.all(
      numbers.map((number) => log.append(decisionOf(`${NAME}.${logId}.1.${number.toString(36)}`))),
    );
  }
  await log.close();
  const bytes = readdirSync(join(path, NAME)).map((name) => statSync(join(path, NAME, name)).size);
  const startedAt = performance.now();
  const { decisions } = await log.open(NAME);
  const ms = Math.round(performance.now() - startedAt);
  await log.close();
  const megabytes = Math.round(bytes.reduce((total, each) => total + each, 0) / 1e6);
  console.log(`${decisions.length} records (${megabytes} MB) were read and checked in ${ms} ms`);
});
