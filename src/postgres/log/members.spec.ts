import { describe, expect, it } from 'vitest';
import { MemberStatements } from './members.js';
import { ReadStatements } from './reads.js';

/** A server that has these epochs, each with its adopter. */
class Server {
  readonly asked: string[] = [];
  isGivenUp = false;

  constructor(private readonly adopters: Readonly<Record<number, number | null>>) {}

  query(text: string): Promise<Record<string, string | null>[]> {
    this.asked.push(text);
    if (!text.includes('fenced_by')) return Promise.resolve([]);
    return Promise.resolve(
      Object.entries(this.adopters).map(([epoch, adopter]) => ({
        epoch,
        token: 'token',
        fenced_by: adopter === null ? null : String(adopter),
        adopted_by: adopter === null ? null : String(adopter),
        settled: 'false',
        presumable: 'true',
      })),
    );
  }

  giveUp(): void {
    this.isGivenUp = true;
  }
}

const statements = new MemberStatements('dtc_log', new ReadStatements('dtc_log', true), true);
const OWN = { log: 1, epoch: 5, coordinator: 'shop', logId: 'log' };

function read(server: Server): ReturnType<MemberStatements['read']> {
  return statements.read(server as never, OWN as never, 3, [2, 3]);
}

describe('An adoption that reads on a connection of its own', () => {
  it('reads where its fence can be read', async () => {
    const { runs } = await read(new Server({ 2: 5, 3: 5 }));

    expect(runs.map(({ run }) => run.epoch)).toEqual([2, 3]);
  });

  it.each([
    ['that does not know the fence', { 2: 5, 3: null }],
    ['that knows the fence of another member', { 2: 5, 3: 4 }],
    ['that does not know one of the epochs', { 2: 5 }],
  ])('reads nothing from a server %s, and gives the connection up', async (_what, adopters) => {
    const server = new Server(adopters);

    await expect(read(server)).rejects.toThrow('does not know that it is fenced');
    expect(server.asked).toHaveLength(1);
    expect(server.isGivenUp).toBe(true);
  });
});
