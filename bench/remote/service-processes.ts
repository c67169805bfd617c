import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { type Addresses, SERVICE_NAMES, type ServiceKind } from './services.js';
import type { TransportName } from './transports.js';

/** Services end with the measuring process, however it ends. */
const children = new Set<ChildProcess>();
process.prependListener('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/**
 * Starts three services, each in a process of its own, passes their addresses to a measurement, and ends them
 * after it.
 *
 * @param brokerPort the port of the broker, for a transport that has one.
 */
export async function withServices<Result>(
  transport: TransportName,
  kind: ServiceKind,
  brokerPort: number | undefined,
  measure: (addresses: Addresses) => Promise<Result>,
): Promise<Result> {
  const started = SERVICE_NAMES.map((name) => {
    const args = [transport, kind, name, ...(brokerPort === undefined ? [] : [`${brokerPort}`])];
    const child = fork(new URL('./service-process.js', import.meta.url), args, {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    children.add(child);
    return { name, child, exit: once(child, 'exit').finally(() => children.delete(child)) };
  });
  try {
    const addresses = await Promise.all(
      started.map(async ({ name, child, exit }) => {
        const failed = exit.then(([code]) => {
          throw new Error(`the service ${name} ended with ${String(code)}`);
        });
        const [address] = (await Promise.race([once(child, 'message'), failed])) as [string];
        return [name, address] as const;
      }),
    );
    return await measure(Object.fromEntries(addresses) as unknown as Addresses);
  } finally {
    await Promise.all(
      started.map(async ({ child, exit }) => {
        if (child.connected) child.disconnect();
        await exit;
      }),
    );
  }
}
