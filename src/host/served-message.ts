import type { CallAnswer, WireAnswer } from '../remote/wire/index.js';
import type { CallAtWork } from './calls-at-work.js';

/** Collects the answers to the calls of one message. */
export class ServedMessage {
  /** Resolves when all calls are answered, and rejects when an answer cannot be sent. */
  readonly answered: Promise<void>;
  private resolve!: () => void;
  private reject!: (error: unknown) => void;

  /**
   * @param missing the number of calls.
   * @param send takes each answer as soon as it is known.
   * @param ended is told how each call at work was answered.
   */
  constructor(
    private missing: number,
    private readonly send: (answer: WireAnswer) => void,
    private readonly ended: (call: CallAtWork, answer: CallAnswer['kind']) => void,
  ) {
    this.answered = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  end(call: CallAtWork, answer: CallAnswer): void {
    this.ended(call, answer.kind);
    this.answer(call.id, answer);
  }

  /** @param id the place of a call that has no other answer. */
  answer(id: number, answer: CallAnswer): void {
    try {
      // The number of the call belongs to every kind of answer.
      this.send({ id, ...answer });
    } catch (error) {
      this.fail(error);
      return;
    }
    this.missing--;
    if (this.missing === 0) this.resolve();
  }

  /** The message has no complete answer. */
  fail(error: unknown): void {
    this.reject(error);
  }
}
