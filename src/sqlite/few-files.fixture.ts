import { closeSync, openSync } from 'node:fs';
import { devNull } from 'node:os';
import { LogFiles } from './log-files.ts';
import { LogWriter } from './log-writer.ts';
import { PUT } from './messages.ts';
import { encodeBody } from '../coordinator/log/record-body.ts';
import { openStored } from './stored-log.ts';

/**
 * Run by a test in a process that may open few files: makes one checkpoint while none can be opened, and
 * another one afterwards. Prints the size of the write-ahead log after each.
 */
const [, , folder = ''] = process.argv;
const files = new LogFiles(folder);
const writer = new LogWriter(
  files,
  openStored(files, () => {}),
);
writer.claim({ logId: 'log0of0tests', key: 'start/1', body: encodeBody('start/1', { token: 'token' }) });

function write(id: string, name = 'sale'): number {
  const key = `commit/${id}`;
  const body = Uint8Array.from(encodeBody(key, { id, name, decider: { kind: 'log' }, branches: [] }));
  writer.write({
    kinds: Uint8Array.of(PUT),
    keys: [key],
    lengths: Uint32Array.of(body.length),
    bodies: body,
  });
  return files.walBytes;
}

const large = 'x'.repeat(11_000_000);
write('large', large);
const taken: number[] = [];
let code: unknown;
while (code === undefined) {
  try {
    taken.push(openSync(devNull, 'r'));
  } catch (error) {
    ({ code } = error as NodeJS.ErrnoException);
  }
}
const without = write('1');
for (const file of taken) closeSync(file);
write('larger', large);
const again = write('2');
writer.close();
process.stdout.write(JSON.stringify({ code, without, again }));
