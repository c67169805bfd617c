import { type ExecFileException, execFile } from 'node:child_process';

/** A command that failed, with what it said. */
export class CommandFailedError extends Error {
  constructor(
    command: string,
    readonly output: string,
  ) {
    super(`${command} failed:\n${output}`);
    this.name = 'CommandFailedError';
  }
}

/**
 * Runs a command to its end.
 *
 * @returns what it wrote to standard output.
 * @throws CommandFailedError when it failed, or took longer than `timeoutMs`.
 */
export function run(
  directory: string,
  timeoutMs: number,
  command: string,
  ...args: string[]
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd: directory, timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024 };
    execFile(command, args, options, (error: ExecFileException | null, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new CommandFailedError([command, ...args].join(' '), describe(error, stdout, stderr)));
    });
  });
}

function describe(error: ExecFileException, stdout: string, stderr: string): string {
  const end = error.killed === true ? 'it took too long' : `exit code ${String(error.code)}`;
  return `${stdout}\n${stderr}\n${end}`.slice(-6_000);
}
