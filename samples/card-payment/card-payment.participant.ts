import {
  type Branch,
  HeuristicError,
  MemoryGuardStore,
  Participant,
  ParticipantGuard,
  type TransactionParticipant,
  type Vote,
  branchKey,
  refuse,
} from '../../src/coordinator/index.js';

/** A payment by card. */
export interface CardPayment {
  readonly card: string;
  /** In cents. */
  readonly amount: number;
}

interface Answer {
  readonly status: number;
  readonly body: { readonly code?: string; readonly validForMs?: number };
}

/**
 * Pays by card at a provider: authorises in prepare, captures in commit, voids in rollback. The vote expires with the
 * authorisation. Each step has an idempotency key of its own, made from the ids of the branch, so a step may be repeated after
 * any failure, also by another process.
 */
@Participant({ name: 'card-payment', completionTimeoutMs: 1_000 })
export class CardPaymentParticipant implements TransactionParticipant<CardPayment> {
  /** The provider takes repeats, so a step that an ended process has begun is run again. */
  private readonly guard = new ParticipantGuard(new MemoryGuardStore(), { interrupted: 'repeat' });

  constructor(private readonly provider: string) {}

  prepare(branch: Branch<CardPayment>): Promise<Vote> {
    return this.guard.prepare(branch, async () => {
      const { status, body } = await this.ask('authorise', branch, branch.payload);
      if (status === 402) return refuse(body.code ?? 'CARD_DECLINED', 'the card was declined');
      if (status !== 200) throw new Error(`the provider answered ${status} to an authorisation`);
      return { vote: 'commit', validForMs: body.validForMs! };
    });
  }

  commit(branch: Branch<CardPayment>): Promise<void> {
    return this.guard.commit(branch, async () => {
      const { status, body } = await this.ask('capture', branch);
      // Nothing was paid, and nothing can be paid any more with this authorisation.
      if (status === 410)
        throw new HeuristicError('rollback', `it cannot be captured any more: it is ${body.code}`);
      if (status !== 200) throw new Error(`the provider answered ${status} to a capture`);
    });
  }

  rollback(branch: Branch<CardPayment | undefined>): Promise<void> {
    return this.guard.rollback(branch, async () => {
      const { status } = await this.ask('void', branch);
      if (status !== 200) throw new Error(`the provider answered ${status} to a void`);
    });
  }

  /** @throws any error after which the result at the provider is not known: the same request is sent again. */
  private async ask(step: string, branch: Branch, details?: CardPayment): Promise<Answer> {
    const reference = branchKey(branch);
    const response = await fetch(`${this.provider}/${step}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': `${step} ${reference}` },
      body: JSON.stringify({ reference, ...details }),
      signal: branch.signal,
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Answer['body']) };
  }
}
