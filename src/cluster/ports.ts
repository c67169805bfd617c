import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/** One of the ports is in use, or no port of this address can be used. */
export class PortsInUseError extends Error {
  readonly code = 'EADDRINUSE';

  /** @param count how many ports are needed. */
  constructor(ports: readonly number[], host: string, count: number) {
    const [are, processes] =
      ports.length === 1
        ? [`Port ${ports[0]} of ${host} is`, 'the process that listens there']
        : [`Ports ${inWords(ports)} of ${host} are`, 'the processes that listen there'];
    super(
      `${are} in use (EADDRINUSE). Stop ${processes}, or set PORT to the first of ${count} free ports, such as PORT=4000.`,
    );
    this.name = 'PortsInUseError';
  }
}

/**
 * Finds the ports of the members before anything is started.
 *
 * @param first the port of the first member; the others get the next ones. 0 means free ports.
 * @returns one port for each member.
 * @throws PortsInUseError naming every port that is in use; other errors of listening, such as `EACCES`.
 */
export async function portsOf(first: number, count: number, host: string): Promise<number[]> {
  const wanted = Array.from({ length: count }, (_, index) => (first === 0 ? 0 : first + index));
  const tried = await Promise.all(wanted.map((port) => listenOn(port, host)));
  await Promise.all(tried.map(({ close }) => close()));
  const other = tried.find(({ error }) => error !== undefined && error.code !== 'EADDRINUSE');
  if (other !== undefined) throw other.error!;
  const inUse = wanted.filter((_, index) => tried[index]!.error !== undefined);
  if (inUse.length > 0) throw new PortsInUseError(inUse, host, count);
  return tried.map(({ port }) => port);
}

interface Tried {
  readonly port: number;
  readonly error?: NodeJS.ErrnoException;
  readonly close: () => Promise<void>;
}

async function listenOn(wanted: number, host: string): Promise<Tried> {
  const server = createServer();
  try {
    await once(server.listen(wanted, host), 'listening');
  } catch (error) {
    return { port: wanted, error: error as NodeJS.ErrnoException, close: () => Promise.resolve() };
  }
  const { port } = server.address() as AddressInfo;
  return {
    port,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}

function inWords(ports: readonly number[]): string {
  return `${ports.slice(0, -1).join(', ')} and ${ports.at(-1)}`;
}
