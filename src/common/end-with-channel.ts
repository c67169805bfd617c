/** The part of the process that is used: a test has one of its own. */
type Self = Pick<NodeJS.Process, 'pid' | 'platform' | 'kill' | 'listenerCount'> & {
  on(event: 'message', listener: (message: unknown) => void): unknown;
  once(event: 'disconnect', listener: () => void): unknown;
  emit(event: 'SIGTERM', signal: 'SIGTERM'): boolean;
};

/**
 * Ends this process cleanly, as SIGTERM does, when the channel to the process that has started it is closed,
 * so that that process is not outlived; and when `{ stop: true }` arrives there, which is how it is asked for
 * a clean end on Windows.
 */
export function endWithChannel(self: Self = process): void {
  const end = (): void => {
    // On Windows a signal ends the process at once, and no listener is called.
    if (self.platform === 'win32' && self.listenerCount('SIGTERM') > 0) self.emit('SIGTERM', 'SIGTERM');
    else self.kill(self.pid, 'SIGTERM');
  };
  self.once('disconnect', end);
  self.on('message', (message) => {
    if ((message as { readonly stop?: unknown } | null)?.stop === true) end();
  });
}
