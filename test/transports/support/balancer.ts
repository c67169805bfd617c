import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

/** Gives each new connection to the next of several servers, as a load balancer of TCP does. */
export class Balancer {
  private readonly sockets = new Set<Socket>();
  private readonly ports: number[] = [];
  private turn = 0;

  private constructor(private readonly server: Server) {
    server.on('connection', (client) => this.carry(client));
  }

  static async open(): Promise<Balancer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Balancer(server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** The number of connections that clients have opened so far. */
  get accepted(): number {
    return this.turn;
  }

  /** The number of connections that are open now. */
  get open(): number {
    return this.sockets.size / 2;
  }

  add(port: number): void {
    this.ports.push(port);
  }

  remove(port: number): void {
    this.ports.splice(this.ports.indexOf(port), 1);
  }

  /** Nothing goes through the open connections any more, and they stay open. New ones are sound. */
  freeze(): void {
    for (const socket of this.sockets) socket.pause();
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  private carry(client: Socket): void {
    const port = this.ports[this.turn++ % Math.max(this.ports.length, 1)];
    if (port === undefined) {
      client.destroy();
      return;
    }
    const server = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.sockets.add(from);
      from.on('data', (data) => to.write(data));
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.sockets.delete(from);
        to.destroy();
      });
    }
  }
}
