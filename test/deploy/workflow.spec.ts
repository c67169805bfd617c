import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const ROOT = join(import.meta.dirname, '../..');

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}

interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly strategy: {
          readonly matrix: { readonly node: readonly string[]; readonly os?: readonly string[] };
        };
        readonly 'timeout-minutes': number;
        readonly steps: readonly Step[];
      }
    >
  >;
}

const workflow = parse(textOf('.github/workflows/ci.yml'), { strict: true, uniqueKeys: true }) as Workflow;
const { ci: job, start, ...others } = workflow.jobs;

function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

describe('the workflow of a release', () => {
  const release = parse(textOf('.github/workflows/release.yml'), {
    strict: true,
    uniqueKeys: true,
  }) as Workflow;
  const commands = release.jobs['check']!.steps.flatMap(({ run }) => run ?? []);

  it('begins with a tag, publishes nothing, and checks the digests of images before it spends time', () => {
    expect(release.on).toStrictEqual({ push: { tags: ['v*'] } });
    expect(release.permissions).toStrictEqual({ contents: 'read' });
    expect(commands.slice(0, 2)).toStrictEqual(['npm ci', 'npm run images -- --check']);
    expect(commands.filter((command) => command.includes('npm publish'))).toStrictEqual([
      'npm publish --dry-run --tag next -w nestjs-dtc',
    ]);
  });

  it('refuses a tag of another version', () => {
    const { version } = JSON.parse(textOf('package.json')) as { version: string };
    const checked = (tag: string) =>
      spawnSync(process.execPath, ['scripts/release/tag.ts', tag], { cwd: ROOT, encoding: 'utf8' });

    expect(checked(`v${version}`)).toMatchObject({ status: 0, stdout: '' });
    expect(checked('v99.0.0')).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('CHANGELOG.md has no section for it.') as unknown,
    });
  });
});

describe('the workflow of continuous integration', () => {
  it('runs .ci/run, on the Node of its matrix, for each push to main and each pull request', () => {
    const [checkout, setup, run] = job!.steps;

    expect(others).toStrictEqual({});
    expect(Object.keys(workflow.on)).toStrictEqual(['push', 'pull_request']);
    expect(checkout!.uses).toMatch(/^actions\/checkout@v\d+$/);
    expect(setup!.uses).toMatch(/^actions\/setup-node@v\d+$/);
    expect(setup!.with).toStrictEqual({ 'node-version': '${{ matrix.node }}' });
    expect(run).toStrictEqual({ run: '.ci/run', env: { NODE_UNDER_TEST: 'machine' } });
    expect(job!.steps).toHaveLength(3);
    expect(() => accessSync(join(ROOT, '.ci/run'), constants.X_OK)).not.toThrow();
  });

  it('starts the shop on Windows and macOS, in memory and on PostgreSQL', () => {
    expect(start!.strategy.matrix.os).toStrictEqual(['windows-latest', 'macos-latest']);
    expect(start!.steps.flatMap(({ run }) => run ?? [])).toStrictEqual([
      'npm ci',
      'npm run test:start',
      'npm run test:start -- start:postgres',
    ]);
  });

  it('tries the oldest Node that package.json allows, and the line of the one that npm scripts run on', () => {
    const { engines, devDependencies } = JSON.parse(textOf('package.json')) as {
      engines: { node: string };
      devDependencies: { node: string };
    };

    expect(job!.strategy.matrix.node).toStrictEqual([
      engines.node.replace('>=', ''),
      devDependencies.node.split('.')[0],
    ]);
  });

  it('runs the tests on the Node of the machine, and without a variable on that of the lock file', () => {
    const tests = /if \[ "\$\{NODE_UNDER_TEST:-\}" = machine \]; then\n([^]*?)else\n([^]*?)fi\n/.exec(
      textOf('.ci/run'),
    );

    expect(tests![1]).toContain('node node_modules/vitest/vitest.mjs run\n');
    expect(tests![2]!.trim()).toBe('npm test');
  });

  it('may change nothing in the repository, and has more time than all rungs need', () => {
    expect(workflow.permissions).toStrictEqual({ contents: 'read' });
    expect(job!['timeout-minutes']).toBeGreaterThan(8 + 30);
  });
});
