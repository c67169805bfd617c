import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Mutant, mutate } from './mutants.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const COPIED = [
  'src',
  'test',
  'docs',
  'samples/python',
  'samples/shell',
  'package.json',
  'tsconfig.json',
  'tsconfig.programs.json',
  'vitest.config.ts',
];
/** A defect may make the code run endlessly. */
const LIMIT_MS = 300_000;
/** Tests that only `npm run test:ci` runs notice defects too. */
const ALL_TESTS = { LONGER: 'all', MARIADB: 'all', TRANSPORTS: 'all' };

/**
 * What notices a mutant: the file of the first test that failed, or the time limit; undefined when nothing
 * does.
 */
export type Verdict = string | undefined;

/** A file of tests, as vitest reports it. */
interface TestFile {
  readonly name: string;
  readonly message: string;
  readonly assertionResults: readonly {
    readonly status: string;
    readonly fullName: string;
    readonly failureMessages: readonly string[];
  }[];
}

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly TestFile[];
}

/** A copy of the code outside the tree, to be broken and tested; its packages are those of the tree. */
export class BrokenCopy {
  private running: number | undefined;
  private interrupted = false;
  /** How many tests have passed or failed in it. */
  testsRun = 0;

  readonly path: string;

  private readonly report: string;

  private constructor(path: string) {
    this.path = path;
    this.report = join(path, 'report.json');
  }

  static async make(): Promise<BrokenCopy> {
    const path = await mkdtemp(join(tmpdir(), 'mutants-'));
    for (const name of COPIED) await cp(join(ROOT, name), join(path, name), { recursive: true });
    await symlink(join(ROOT, 'node_modules'), join(path, 'node_modules'));
    const copy = new BrokenCopy(path);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => void copy.interrupt().then(() => process.exit(130)));
    }
    return copy;
  }

  /** @throws Error when a mutant no longer fits the code. */
  async check(mutants: readonly Mutant[]): Promise<void> {
    for (const mutant of mutants) mutate(await readFile(join(this.path, mutant.file), 'utf8'), mutant);
  }

  /** Breaks the copy, does something with it, and repairs it. */
  async with<T>(mutant: Mutant, work: () => Promise<T>): Promise<T> {
    const file = join(this.path, mutant.file);
    const source = await readFile(file, 'utf8');
    await writeFile(file, mutate(source, mutant));
    try {
      return await work();
    } finally {
      if (!this.interrupted) await writeFile(file, source);
    }
  }

  /** Runs some of the copy's tests up to the first failure. */
  async test(args: readonly string[]): Promise<Verdict> {
    await rm(this.report, { force: true });
    const output = [
      '--reporter=json',
      `--outputFile=${this.report}`,
      '--bail=1',
      '--passWithNoTests',
      '--cache=false',
      '--fsModuleCache=false',
    ];
    const end = await this.node(['node_modules/vitest/vitest.mjs', 'run', ...args, ...output]);
    if (existsSync(this.report)) {
      const { numPassedTests, numFailedTests } = await this.reported();
      this.testsRun += numPassedTests + numFailedTests;
    }
    if (end.code === 0) return undefined;
    if (end.code === 'time limit') return end.code;
    return (await this.firstFailure()) ?? 'an error outside the tests';
  }

  /** Runs a node process of its own in the copy, which is ended when it takes too long. */
  node(args: readonly string[]): Promise<{ code: number | 'time limit'; output: string }> {
    return new Promise((resolve) => {
      const child = spawn(process.execPath, args, {
        cwd: this.path,
        env: { ...process.env, ...ALL_TESTS },
        stdio: ['ignore', 'pipe', 'ignore'],
        detached: true,
      });
      this.running = child.pid;
      let late = false;
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
      const limit = setTimeout(() => {
        late = true;
        this.endRunning();
      }, LIMIT_MS);
      child.on('close', (code) => {
        clearTimeout(limit);
        this.running = undefined;
        if (!this.interrupted) resolve({ code: late ? 'time limit' : (code ?? 1), output });
      });
    });
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }

  /** Whether a file or folder is in the copy. */
  has(path: string): boolean {
    return existsSync(join(this.path, path));
  }

  private interrupt(): Promise<void> {
    this.interrupted = true;
    this.endRunning();
    return this.remove();
  }

  /** Ends the process group under way: vitest and its workers. */
  private endRunning(): void {
    if (this.running !== undefined) process.kill(-this.running, 'SIGKILL');
  }

  /**
   * What the last test run reported of the first test that failed in it: its name and its error; undefined
   * without one.
   */
  async lastFailure(): Promise<string | undefined> {
    const witness = await this.witness();
    const test = witness?.assertionResults.find(({ status }) => status === 'failed');
    return test === undefined ? witness?.message : [test.fullName, ...test.failureMessages].join('\n');
  }

  private async firstFailure(): Promise<Verdict> {
    const witness = await this.witness();
    return witness && relative(this.path, witness.name);
  }

  private async reported(): Promise<Report> {
    return JSON.parse(await readFile(this.report, 'utf8')) as Report;
  }

  private async witness(): Promise<TestFile | undefined> {
    if (!existsSync(this.report)) return undefined;
    const { testResults } = await this.reported();
    // A file that was cut short after the first failure elsewhere is no witness, though it counts as failed.
    return testResults.find(
      ({ message, assertionResults }) =>
        assertionResults.some(({ status }) => status === 'failed') ||
        (assertionResults.length === 0 && message !== ''),
    );
  }
}
