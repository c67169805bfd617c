import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { startModule } from './coordinators.js';
import { ParticipantServer } from './participants.js';

const page = readFileSync(join(import.meta.dirname, '../../docs/rest-at.md'), 'utf8');
const [, session = '', answers = ''] =
  /<!-- rest-at session -->\s+```sh\n([^`]+)```[^`]*<!-- answers -->\s+```\n([^`]+)```/.exec(page) ?? [];

const hasCurl = spawnSync('curl', ['--version']).status === 0;
if (!hasCurl) console.warn('Left out, since curl is not installed: the session of docs/rest-at.md.');

describe.runIf(hasCurl)('The session of docs/rest-at.md', () => {
  it('has the answers that the page shows', async () => {
    const participants = await ParticipantServer.start();
    const callers = [{ name: 'shop', token: 'the-token-of-the-shop' }];
    const coordinator = await startModule({ callers, allow: [participants.origin] });
    const stock = participants.add();
    const script = session
      .replace('http://127.0.0.1:3000/rest-at-coordinator/tx', coordinator.client.base)
      .replace('http://127.0.0.1:8080/stock', stock.url);
    try {
      // curl shows its progress in the other stream.
      const { stdout } = await promisify(execFile)('sh', ['-c', script]);
      expect(stdout).toBe(answers);
      expect(stock.orders()).toEqual(['one-phase']);
    } finally {
      await coordinator.close();
      await participants.close();
    }
  });
});
