/** Calls of a client of a broker that answer with a promise. */
type Calls = Record<string, (...args: unknown[]) => unknown>;

/**
 * The classes of Nest leave the promises of some calls alone. One that fails with its connection would end
 * the process. Its failure is seen anyway: the connection has ended, and the answer does not come.
 *
 * @param names the calls whose failures are left at that.
 * @returns the client.
 */
export function watched<C>(client: C, names: readonly string[]): C {
  const calls = client as Calls;
  for (const name of names) {
    const run = calls[name]!.bind(client);
    calls[name] = (...args: unknown[]) => {
      const done = run(...args);
      if (done instanceof Promise) done.catch(() => {});
      return done;
    };
  }
  return client;
}
