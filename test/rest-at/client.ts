import type { TestParticipant, TestVolatile } from './participants.js';

export interface Reply {
  readonly code: number;
  readonly text: string;
  readonly type: string | null;
  readonly location: string;
  readonly links: Readonly<Record<string, string>>;
  readonly headers: Headers;
}

export interface Sending {
  readonly link?: string;
  readonly body?: string;
  readonly type?: string;
  readonly accept?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A transaction, by the URLs that its coordinator has told. */
export interface Begun {
  readonly id: string;
  readonly url: string;
  readonly terminator: string;
  readonly durable: string;
  readonly volatile: string;
}

/** A client of REST-AT without a library: it knows the URL of the coordinator, and nothing else of it. */
export class RestAtClient {
  constructor(
    readonly base: string,
    private readonly headers: Readonly<Record<string, string>> = {},
  ) {}

  get manager(): string {
    return `${this.base}/transaction-manager`;
  }

  async send(
    method: string,
    url: string,
    { link, body, type, accept, headers }: Sending = {},
  ): Promise<Reply> {
    const response = await fetch(url, {
      method,
      redirect: 'manual',
      headers: {
        ...this.headers,
        ...(link !== undefined && { link }),
        ...(type !== undefined && { 'content-type': type }),
        ...(accept !== undefined && { accept }),
        ...headers,
      },
      ...(body !== undefined && { body: Buffer.from(body) }),
    });
    return {
      code: response.status,
      text: await response.text(),
      type: response.headers.get('content-type'),
      location: response.headers.get('location') ?? '',
      links: linksIn(response.headers.get('link') ?? ''),
      headers: response.headers,
    };
  }

  async begin(timeout?: number): Promise<Begun> {
    const form = { type: 'application/x-www-form-urlencoded', body: `timeout=${timeout}` };
    const { code, location, links } = await this.send(
      'POST',
      this.manager,
      timeout === undefined ? {} : form,
    );
    if (code !== 201) throw new Error(`not begun: ${code}`);
    return {
      id: location.split('/').at(-1)!,
      url: location,
      terminator: links['terminator']!,
      durable: links['durable-participant']!,
      volatile: links['volatile-participant']!,
    };
  }

  /** @returns the URL of the enlistment. */
  async enlist(begun: Begun, ...participants: readonly TestParticipant[]): Promise<string> {
    let recovery = '';
    for (const { link } of participants) {
      const { code, location } = await this.send('POST', begun.durable, { link });
      if (code !== 201) throw new Error(`not enlisted: ${code}`);
      recovery = location;
    }
    return recovery;
  }

  async enlistVolatile(begun: Begun, { link }: TestVolatile): Promise<void> {
    const { code } = await this.send('PUT', begun.volatile, { link });
    if (code !== 200) throw new Error(`not enlisted: ${code}`);
  }

  end(begun: Begun, status: string): Promise<Reply> {
    return this.send('PUT', begun.terminator, { type: 'application/txstatus', body: `txstatus=${status}` });
  }

  commit(begun: Begun): Promise<Reply> {
    return this.end(begun, 'TransactionCommitted');
  }

  rollback(begun: Begun): Promise<Reply> {
    return this.end(begun, 'TransactionRolledBack');
  }

  /** The status that the transaction tells, or the code of an answer that tells none. */
  async status(begun: Begun): Promise<string> {
    const { code, text } = await this.send('GET', begun.url, { accept: 'application/txstatus' });
    return `${code} ${text}`.trim();
  }
}

/** As a client of another vendor reads the header: it splits at each comma. */
function linksIn(header: string): Record<string, string> {
  return Object.fromEntries(
    header
      .split(',')
      .filter((link) => link.trim() !== '')
      .map((link) => {
        const [, url = '', relation = ''] = /<([^>]*)>;\s*rel="([^"]*)"/.exec(link) ?? [];
        return [relation, url];
      }),
  );
}
