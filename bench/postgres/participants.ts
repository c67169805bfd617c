import type { ClientBase, QueryConfig, QueryResult } from 'pg';
import { type Branch, type Vote, refuse } from '../../src/coordinator/index.js';
import { PostgresBatchParticipant, PostgresParticipant } from '../../src/postgres/index.js';
import { UPDATE } from './accounts.js';

/** The payload of one participant. */
export interface Posting {
  readonly account: number;
}

/** Makes its update with a client inside the transaction, as most work is written. */
export class AccountsParticipant extends PostgresParticipant<Posting> {
  protected async work(client: ClientBase, { payload }: Branch<Posting>): Promise<Vote> {
    return voteOn(await client.query(UPDATE, [payload.account]));
  }
}

/** Gives its statements beforehand, so that the whole first phase is one round trip. */
export class AccountsBatchParticipant extends PostgresBatchParticipant<Posting> {
  protected statements({ payload }: Branch<Posting>): readonly QueryConfig[] {
    return [{ text: UPDATE, values: [payload.account] }];
  }

  protected vote([result]: readonly QueryResult[]): Vote {
    return voteOn(result!);
  }
}

function voteOn({ rowCount }: QueryResult): Vote {
  return rowCount === 1 ? 'commit' : refuse('NO_ACCOUNT', 'there is no such account');
}
