import { type ChildProcess, type StdioOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const ROOT = join(import.meta.dirname, '../..');

/** How a process has ended. */
export interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

/** The application, compiled into a folder of its own, to be run as a process of its own. */
export class BuiltApplication {
  private readonly children: ChildProcess[] = [];

  private constructor(
    /** Where it is compiled to. */
    readonly folder: string,
  ) {}

  /** @param purpose tells the folder from others. */
  static build(purpose: string): BuiltApplication {
    // Inside the project, so that the packages are found from there.
    const folder = join(ROOT, 'build', `${purpose}-${process.pid}`);
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const options = ['-p', 'tsconfig.build.json', '--outDir', folder, '--declaration', 'false', '--noCheck'];
    const { status, stdout } = spawnSync(process.execPath, [tsc, ...options], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`The application was not built: ${stdout}`);
    return new BuiltApplication(folder);
  }

  /**
   * @param environment all that the process is given.
   * @param stdio where its standard input, output and error come from and go. @default a pipe each
   * @param program the file to run. @default the shop
   */
  start(
    environment: NodeJS.ProcessEnv,
    stdio: StdioOptions = 'pipe',
    program = 'main.js',
  ): { child: ChildProcess; ended: Promise<Ended> } {
    // What a run compiles the next one need not: most of a start is that.
    const env = { NODE_COMPILE_CACHE: join(this.folder, 'compiled'), ...environment };
    const child = spawn(process.execPath, [join(this.folder, program)], { env, stdio });
    this.children.push(child);
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stderr }));
    return { child, ended };
  }

  remove(): void {
    for (const child of this.children) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** @returns where the application says that it listens. */
export async function listening(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) {
    const [url] = /http:\/\/[\d.:]+/.exec((JSON.parse(line) as { msg: string }).msg) ?? [];
    if (url !== undefined) {
      child.stdout!.resume();
      return url;
    }
  }
  throw new Error('The application ended before it listened.');
}
