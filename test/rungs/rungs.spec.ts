import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { failureIn } from '../../scripts/test-ci/failures.js';
import { Outputs } from '../../scripts/test-ci/outputs.js';
import { RungProcess } from '../../scripts/test-ci/rung-process.js';
import { RUNGS } from '../../scripts/test-ci/rungs.js';
import { toBegin } from '../../scripts/test-ci/schedule.js';
import { Tail } from '../../scripts/test-ci/tail.js';

const ROOT = join(import.meta.dirname, '../..');
const LIMIT_MS = 60_000;

describe('the rungs', () => {
  it('have names of their own', () => {
    expect(new Set(RUNGS.map(({ name }) => name)).size).toBe(RUNGS.length);
  });

  it('run tests that exist', () => {
    const specs = globSync('{src,test,samples}/**/*.spec.ts', { cwd: ROOT });
    const paths = RUNGS.flatMap(({ command: [program, ...args] }) =>
      program === 'npx' ? args.filter((arg) => arg.includes('/')) : [],
    );

    expect(paths.filter((path) => !specs.some((spec) => spec.includes(path)))).toEqual([]);
    expect(paths.length).toBeGreaterThan(20);
  });
});

describe('rungs that wait', () => {
  const alone = { alone: true };
  const beside = { alone: false };

  it.each([
    ['begin together, as many as may', [beside, beside, beside], [], 2],
    ['begin when another one has ended', [beside, beside], [beside], 1],
    ['wait while as many run as may', [beside], [beside, beside], 0],
    ['wait for one that runs alone', [beside], [alone], 0],
    ['begin alone when nothing runs', [alone, beside], [], 1],
    ['do not begin alone beside another one', [alone, beside], [beside], 0],
    ['do not overtake one that runs alone', [beside, alone, beside], [], 1],
    ['are none at the end', [], [beside], 0],
  ] as const)('%s', (_, waiting, running, count) => {
    expect(toBegin(waiting, running, 2)).toBe(count);
  });

  it('begin one after the other on one core', () => {
    expect(toBegin([beside, beside], [], 1)).toBe(1);
    expect(toBegin([beside], [beside], 1)).toBe(0);
  });
});

describe('the outputs of rungs beside each other', () => {
  it('are shown one after the other: the first as it comes', () => {
    let shown = '';
    const outputs = new Outputs((text) => (shown += text));
    const [one, two, three] = [outputs.begin(), outputs.begin(), outputs.begin()];

    one.add('a');
    two.add('1');
    three.add('x');
    expect(shown).toBe('a');
    two.end();
    one.add('b');
    expect(shown).toBe('ab');
    one.end();
    expect(shown).toBe('ab1x');
    three.add('y');
    three.end();
    expect(shown).toBe('ab1xy');
    expect(two.text).toBe('1');
  });

  it('are kept up to a limit, and say how much is missing', () => {
    const tail = new Tail(10);
    for (const chunk of ['12345', '67890', 'abc']) tail.add(chunk);

    expect(tail.text).toBe('[5 characters before this are left out]\n67890abc');
  });
});

describe('what failed in a rung', () => {
  const heading =
    '\u001B[31m⎯⎯⎯⎯\u001B[39m\u001B[1m\u001B[41m Failed Tests 2 \u001B[49m\u001B[22m\u001B[31m⎯⎯⎯⎯\u001B[39m';
  const passed = Array.from({ length: 500 }, (_, index) => ` ✓ test ${index}`);

  it('is what vitest tells at its end, without colours', () => {
    const told = [
      heading,
      '',
      '\u001B[41m FAIL \u001B[49m test/a.spec.ts > a',
      'Error: why',
      ' Tests  2 failed',
    ];

    expect(failureIn([...passed, ...told].join('\n'))).toEqual({
      names: ['test/a.spec.ts > a'],
      lines: ['⎯⎯⎯⎯ Failed Tests 2 ⎯⎯⎯⎯', '', ' FAIL  test/a.spec.ts > a', 'Error: why', ' Tests  2 failed'],
    });
  });

  it('names every test when vitest tells too much, each once', () => {
    const output = [heading, ' FAIL  first', ...passed, ' FAIL  second', ' FAIL  second', ...passed];
    const { names, lines } = failureIn(output.join('\n'));

    expect(names).toEqual(['first', 'second']);
    expect(lines).toHaveLength(60);
    expect(lines[1]).toBe(' FAIL  first');
  });

  it('is else in the last lines, which are cut when they are long', () => {
    const { names, lines } = failureIn([...passed, `violation ${'x'.repeat(1_000)}`, ''].join('\n'));

    expect(names).toEqual([]);
    expect(lines).toHaveLength(60);
    expect(lines.at(-1)).toMatch(/^violation x{190} …$/);
  });
});

describe('the process of a rung', () => {
  function begin(
    program: string,
    limitMs = LIMIT_MS,
  ): { rung: RungProcess; heard: () => string; hears: (text: string) => Promise<void> } {
    let output = '';
    let onText = (): void => {};
    const rung = new RungProcess(
      {
        name: 'one',
        command: [process.execPath, '-e', program],
        environment: { A_VARIABLE: 'set' },
        alone: true,
      },
      limitMs,
      (text) => {
        output += text;
        onText();
      },
    );
    return {
      rung,
      heard: () => output,
      hears: (text) =>
        new Promise((resolve) => {
          onText = () => {
            if (output.includes(text)) resolve();
          };
          onText();
        }),
    };
  }

  it('has passed with code 0, and is heard', async () => {
    const { rung, heard } = begin('console.log(process.env.A_VARIABLE); console.error("too")');

    expect(await rung.ended).toBeUndefined();
    expect(heard()).toContain('set\n');
    expect(heard()).toContain('too\n');
  });

  it.each([
    ['another code', 'process.exitCode = 3', '3'],
    ['a signal', 'process.kill(process.pid, "SIGKILL")', 'SIGKILL'],
  ])('has failed with %s', async (_, program, reason) => {
    expect(await begin(program).rung.ended).toBe(reason);
  });

  it('has failed when there is no such program', async () => {
    const rung = new RungProcess(
      { name: 'none', command: ['/no/such/program'], alone: true },
      LIMIT_MS,
      () => {},
    );

    expect(await rung.ended).toContain('ENOENT');
  });

  it('is ended after its time limit', async () => {
    expect(await begin('setInterval(() => {}, 1_000)', 600).rung.ended).toBe('time limit of 0.01 min');
  });

  it('ends with all that it has started', async () => {
    const grandchild = 'console.log("pid", process.pid, "."); setInterval(() => {}, 1_000)';
    const { rung, heard, hears } = begin(
      `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(grandchild)}], { stdio: 'inherit' }); setInterval(() => {}, 1_000)`,
    );
    await hears('.');
    const [, pid] = /pid (\d+)/.exec(heard())!;

    rung.end('SIGTERM', 'enough');

    expect(await rung.ended).toBe('enough');
    await expect.poll(() => isRunning(Number(pid))).toBe(false);
  });

  it('takes what it has left behind with it', async () => {
    const grandchild = 'console.log("pid", process.pid, "."); setInterval(() => {}, 1_000)';
    const { rung, heard } = begin(
      `const left = require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(grandchild)}], { stdio: ['ignore', 'pipe', 'ignore'] }); left.stdout.once('data', (text) => { console.log(String(text)); process.exit(0); })`,
    );

    expect(await rung.ended).toBeUndefined();
    const [, pid] = /pid (\d+)/.exec(heard())!;
    await expect.poll(() => isRunning(Number(pid))).toBe(false);
  });

  /** A process that has ended may stay until its parent has asked for its end. */
  function isRunning(pid: number): boolean {
    try {
      process.kill(pid, 0);
      return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    } catch {
      return false;
    }
  }
});
