import { setTimeout as delay } from 'node:timers/promises';

/** How long the operator tries to record the rollback, while the coordinator tries to complete the branch. */
const ATTEMPTS = 100;
const PAUSE_MS = 100;

interface StalledBranch {
  readonly transactionId: string;
  readonly branchId: string;
}

interface BranchOf {
  readonly branchId: string;
  readonly participant: string;
  readonly heuristic: { readonly kind: string } | null;
}

/** The operator of the demonstration at one coordinator, who acts over HTTP. */
export class Operator {
  private constructor(
    private readonly url: string,
    readonly name: string,
    readonly token: string,
  ) {}

  /** @param url of a coordinator in demonstration mode. */
  static async at(url: string): Promise<Operator> {
    const response = await fetch(`${url}/demo/account`);
    if (!response.ok) throw await failure('GET', '/demo/account', response);
    const { name, token } = (await response.json()) as { name: string; token: string };
    return new Operator(url, name, token);
  }

  async restock(): Promise<void> {
    await this.ask('PUT', '/demo/supplies');
  }

  async letPaymentHang(): Promise<void> {
    await this.ask('PUT', '/demo/faults/payment', { method: 'commit', fault: 'hang' });
  }

  async letPaymentWork(): Promise<void> {
    await this.ask('DELETE', '/demo/faults/payment');
  }

  /** @returns how many transactions are stalled at this coordinator itself. */
  async ownStalled(): Promise<number> {
    const { condition } = await this.ask<{ condition: { stalled: number } }>('GET', '/coordinator');
    return condition.stalled;
  }

  /**
   * @returns the branch at the payment of the transaction that has been stalled here for the longest time.
   */
  async oldestStalled(): Promise<StalledBranch> {
    const { transactions } = await this.ask<{ transactions: { transactionId: string }[] }>(
      'GET',
      '/transactions?stalled=true&participant=payment&order=oldest&limit=1',
    );
    const [first] = transactions;
    if (first === undefined) throw new Error('no order is stalled, so none can be ended by hand.');
    const { branches } = await this.transaction(first.transactionId);
    const { branchId } = branches.find(({ participant }) => participant === 'payment')!;
    return { transactionId: first.transactionId, branchId };
  }

  /**
   * Records that a branch was rolled back. The coordinator refuses this while it tries to complete the
   * branch, so it is tried again.
   */
  async resolve(transactionId: string, branchId: string, reason: string): Promise<void> {
    const path = `/transactions/${transactionId}/branches/${branchId}/resolve`;
    for (let attempt = 1; ; attempt++) {
      const response = await this.send('POST', path, { as: 'rollback', reason });
      if (response.ok) return;
      if (response.status !== 409 || attempt === ATTEMPTS) throw await failure('POST', path, response);
      await delay(PAUSE_MS);
    }
  }

  /** @returns the decision of a transaction, and how the payment has ended against it. */
  async find(transactionId: string): Promise<{ decision: string | null; report: string | null }> {
    const { decision, branches } = await this.transaction(transactionId);
    const report = branches.find(({ participant }) => participant === 'payment')?.heuristic?.kind ?? null;
    return { decision, report };
  }

  /** @returns whether the audit trail says that this operator has resolved a branch of a transaction. */
  async isInAudit(transactionId: string): Promise<boolean> {
    const { entries } = await this.ask<{ entries: { by: string; action: string }[] }>(
      'GET',
      `/audit?transactionId=${transactionId}`,
    );
    return entries.some(({ by, action }) => by === this.name && action === 'resolve');
  }

  private transaction(transactionId: string): Promise<{ decision: string | null; branches: BranchOf[] }> {
    return this.ask('GET', `/transactions/${transactionId}`);
  }

  private async ask<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await this.send(method, path, body);
    if (!response.ok) throw await failure(method, path, response);
    return (response.status === 204 ? undefined : await response.json()) as T;
  }

  private send(method: string, path: string, body?: object): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method,
      headers: {
        Authorization: `Bearer ${this.token}`,
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }
}

async function failure(method: string, path: string, response: Response): Promise<Error> {
  return new Error(`${method} ${path} was answered with ${response.status}: ${await response.text()}`);
}
