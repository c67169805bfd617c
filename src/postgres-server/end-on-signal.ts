/** The actions of a process with a server of its own when a signal comes. */
interface Self {
  on(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP', listener: () => void): unknown;
  exit(code: number): never;
}

/**
 * From now on SIGINT, SIGTERM and SIGHUP, which a terminal sends when it is closed, end this process, with
 * code 1. During the start they end it when the start is over: a server that is just being started would
 * otherwise be left behind.
 *
 * @param start starts a server that stops when this process exits.
 * @throws the error of the start.
 */
export async function endOnSignal<T>(start: () => Promise<T>, self: Self = process): Promise<T> {
  let isStarting = true;
  let isToEnd = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    self.on(signal, () => {
      isToEnd = true;
      if (!isStarting) self.exit(1);
    });
  try {
    return await start();
  } finally {
    isStarting = false;
    if (isToEnd) self.exit(1);
  }
}
