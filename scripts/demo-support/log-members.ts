import { Client } from 'pg';

/** An epoch of a member, as the decision log has it. */
export interface LogEpoch {
  readonly epoch: number;
  readonly member: string;
  /** The name of the member that has taken it over; null while it has not been taken over. */
  readonly takenOverBy: string | null;
}

/** Reads from the decision log which members there are, and who has taken over what. */
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

  /** @returns whether an epoch was taken over, and by which member. */
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
