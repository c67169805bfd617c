/** How often the parent is looked at, in milliseconds. */
const LOOK_MS = 200;

/**
 * Gives this process a SIGTERM when the shell between npm and it is gone. npm sends a signal to its shell,
 * and some shells (dash) end by it without telling the program that they have started.
 *
 * @param self the process, whose parent npm has started; without npm nothing is done, and on Windows there is
 * nothing to do.
 */
export function endWithParent(self: Pick<NodeJS.Process, 'env' | 'pid' | 'ppid' | 'kill'>): void {
  if (self.env['npm_lifecycle_event'] === undefined) return;
  const parent = self.ppid;
  const timer = setInterval(() => {
    if (self.ppid === parent) return;
    clearInterval(timer);
    self.kill(self.pid, 'SIGTERM');
  }, LOOK_MS).unref();
}
