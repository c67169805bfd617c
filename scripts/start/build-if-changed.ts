import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { isBuilt } from './build-state.ts';

/**
 * Runs `npm run build` if an input of the build has changed since the last one. The output of npm is shown
 * only when the build fails. A build whose start is stopped ends by itself.
 *
 * @param root the folder of the project.
 * @param environment of npm, which names its own file in it.
 * @returns whether there is a build of the present sources.
 */
export async function buildIfChanged(root: string, environment: NodeJS.ProcessEnv): Promise<boolean> {
  if (isBuilt(root)) return true;
  const npm = environment['npm_execpath'];
  if (npm === undefined) {
    console.error(
      'There is no build of the present sources. Run "npm run build", or start with "npm start".',
    );
    return false;
  }
  console.error('Building, because there is no build of the present sources ...');
  const child = spawn(process.execPath, [npm, 'run', 'build'], {
    cwd: root,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) console.error(output);
  return code === 0;
}
