import { Client } from 'pg';

/** An epoch of a member in the decision log. */
export interface LogEpoch {
  readonly epoch: number;
  readonly member: string;
  /** The name of the member that has adopted it; null as long as it is not adopted. */
  readonly takenOverBy: string | null;
}

/** Reads the members and their adoptions from the decision log. */
export class LogMembers {
  private constructor(private readonly client: Client) {}

  /** @param url of the database of the log. */
  static async open(url: string): Promise<LogMembers> {
    const client = new Client({ connectionString: url });
    await client.connect();
    return new LogMembers(client);
  }

  /** @returns the latest epoch of each member. */
  async latest(): Promise<ReadonlyMap<string, LogEpoch>> {
    const { rows } = await this.client.query<LogEpoch>(
      `SELECT epochs.epoch, members.member, adopters.member AS "takenOverBy"
       FROM dtc_log.epochs JOIN dtc_log.members USING (log, epoch)
       LEFT JOIN dtc_log.members AS adopters ON adopters.log = epochs.log AND adopters.epoch = epochs.adopted_by
       ORDER BY epochs.epoch`,
    );
    return new Map(rows.map((row) => [row.member, row]));
  }

  /** @returns whether an epoch was adopted, and by which member. */
  async takerOf(epoch: number): Promise<string | undefined> {
    const { rows } = await this.client.query<{ member: string }>(
      `SELECT members.member FROM dtc_log.epochs JOIN dtc_log.members
       ON members.log = epochs.log AND members.epoch = epochs.adopted_by WHERE epochs.epoch = $1`,
      [epoch],
    );
    return rows[0]?.member;
  }

  async close(): Promise<void> {
    await this.client.end();
  }
}
