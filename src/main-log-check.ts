import { checkLog } from './log-check.js';
import { reasonNotStarted } from './reason-not-started.js';

/**
 * Says whether an embedded log is needed any longer: code 0 when it holds nothing, 1 when it does or cannot be read.
 *
 *     node dist/main-log-check.js <folder of the logs> <name of the coordinator>
 */
const [path, name, ...more] = process.argv.slice(2).filter((argument) => argument !== 'main-log-check');
try {
  if (path === undefined || name === undefined || more.length > 0) {
    throw new Error(
      'Name two things: the folder of the logs, and the coordinator. Example: data/decisions shop',
    );
  }
  const { isEmpty, lines } = await checkLog(path, name);
  process.stdout.write(`${lines.join('\n')}\n`);
  process.exitCode = isEmpty ? 0 : 1;
} catch (error) {
  process.stderr.write(`The log was not checked: ${reasonNotStarted(error)}\n`);
  process.exitCode = 1;
}
