import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';

/** Messages of PostgreSQL's protocol, as a server sends them. */
export const MESSAGES = {
  authenticationOk: message('R', int32(0)),
  parameter: message('S', text('server_version', '18.4')),
  keyData: message('K', Buffer.concat([int32(4_711), int32(42)])),
  ready: message('Z', Buffer.from('I')),
  select: message('C', text('SELECT 1')),
  /** The server ends the session: FATAL, by an administrator. */
  terminated: fatal('57P01', 'terminating connection due to administrator command'),
  tooManyClients: fatal('53300', 'sorry, too many clients already'),
  startingUp: fatal('57P03', 'the database system is starting up'),
} as const;

/** A server that answers each connection with the same bytes, and then ends it. */
export class ScriptedServer {
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  /** @param answer is called once for each connection, when its first bytes have come. */
  static async open(answer: (socket: Socket) => void): Promise<ScriptedServer> {
    const server = createServer();
    const scripted = new ScriptedServer(server);
    server.on('connection', (socket) => {
      scripted.sockets.add(socket);
      socket.on('close', () => scripted.sockets.delete(socket));
      socket.on('error', () => {});
      socket.once('data', () => answer(socket));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return scripted;
  }

  get url(): string {
    return `postgres://user:password@127.0.0.1:${(this.server.address() as AddressInfo).port}/database`;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

function fatal(code: string, text_: string): Buffer {
  const fields = ['SFATAL', 'VFATAL', `C${code}`, `M${text_}`].map((field) => text(field));
  return message('E', Buffer.concat([...fields, Buffer.from([0])]));
}

function message(type: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}

function text(...values: string[]): Buffer {
  return Buffer.from(values.map((value) => `${value}\0`).join(''));
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}
