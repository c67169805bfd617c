import { ParticipantRegistry, branch } from '../../src/coordinator/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import type { PostgresParticipantOptions } from '../../src/postgres/index.js';
import type { Contender } from '../framework/contender.js';
import { CoordinatorApplication } from '../framework/coordinator-application.js';
import type { Accounts } from './accounts.js';
import type { AccountsBatchParticipant, AccountsParticipant } from './participants.js';

const NAMES = ['first', 'second', 'third'] as const;

/**
 * The coordinator over three databases, with its defaults and the participants' defaults, and with its
 * decisions in an embedded log.
 *
 * @param coordinator its name, of which there is one on a server.
 * @param type how the work of the participants is written.
 * @param how whether they prepare one after the other, or take part in groups.
 */
export async function coordinatorOver(
  coordinator: string,
  type: new (options: PostgresParticipantOptions) => AccountsParticipant | AccountsBatchParticipant,
  urls: readonly string[],
  draw: () => Accounts,
  folder: string,
  { prepareInTurn = false, grouped = false } = {},
): Promise<Contender> {
  const log = new SqliteDecisionLog({ path: folder });
  const app = await CoordinatorApplication.start([], { name: coordinator, log });
  const participants = NAMES.map(
    (name, index) => new type({ name, connection: urls[index]!, ...(grouped && { grouped }) }),
  );
  for (const [index, participant] of participants.entries()) {
    await participant.onModuleInit();
    app.get(ParticipantRegistry).register(participant, { name: NAMES[index]! });
    await app.get(ParticipantRegistry).claim(participant);
  }
  return {
    name: coordinator,
    run: () => {
      const accounts = draw();
      const branches = NAMES.map((name, index) => branch(name, { account: accounts[index]! }));
      return app.transactions.run({ name: 'benchmark', branches, prepareInTurn });
    },
    close: async () => {
      await app.close();
      for (const participant of participants) await participant.onApplicationShutdown();
    },
  };
}
