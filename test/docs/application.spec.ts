import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApplication } from '../support/application.js';
import { blocksIn } from './blocks.js';

/**
 * The pages that tell a reader to paste commands against the application, in the order in which they are
 * pasted.
 */
const scripts = ['README.md', 'docs/application.md']
  .flatMap(blocksIn)
  .filter(({ language, code }) => language === 'sh' && /^(?:curl|J=|order|fault|repair)/.test(code))
  .map(({ code }) => code);

const run = promisify(execFile);

/** The statuses and states that the blocks show, in their order. */
function resultsIn(output: string): string[] {
  return output.match(/(?<=HTTP\/1\.1 )\d{3}|"state":"COMM\w+"|^\{"status":"\w+"/gm) ?? [];
}

describe.each([
  ['bash', ['-c']],
  ['zsh', ['-f', '-c']],
])('the commands against the application, in %s', (shell, options) => {
  const isInstalled = [shell, 'curl'].every((program) => spawnSync(program, ['--version']).status === 0);
  let application: TestApplication;

  beforeAll(async () => {
    application = await TestApplication.start();
  });

  afterAll(() => application.close());

  it.runIf(isInstalled)('do what the pages say', async () => {
    const url = await application.app.getUrl();
    const script = scripts
      .join('\n')
      .replaceAll('http://127.0.0.1:3000', url)
      .replace('sleep 6', 'sleep 0.5');

    const { stdout, stderr } = await run(shell, [...options, script]);

    // curl shows its progress there.
    expect(stderr).not.toMatch(/not found|error|unexpected|bad/i);
    expect(resultsIn(stdout)).toEqual([
      '201',
      '201',
      '409',
      '409',
      '503',
      '201',
      '202',
      '"state":"COMMITTING"',
      '{"status":"degraded"',
      '"state":"COMMITTED"',
      '{"status":"ok"',
    ]);
  });
});
