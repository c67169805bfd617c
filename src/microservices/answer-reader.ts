import { oneLine } from '../coordinator/gate/texts.js';
import { MAX_ANSWER_BYTES, MAX_CALLS } from '../remote/wire/index.js';
import { readResponse } from './frames.js';

/** The most bytes in the answers to one message. */
const MAX_RESPONSE_BYTES = 64 * MAX_ANSWER_BYTES;
/** The most answers to one message, and the most parts in which they come. */
const MAX_ANSWERS = 2 * MAX_CALLS;
/** The most characters of a refusal that are shown. */
const MAX_SHOWN = 300;

/** Reads the answers to one message. It passes on only what has the documented form and size. */
export class AnswerReader {
  private bytes = 0;
  private count = 0;

  /** @param receive takes each answer, read from JSON; undefined for one that is no JSON. */
  constructor(private readonly receive: (answer: unknown) => void) {}

  /**
   * @throws Error when the host has refused the message, or has answered what no participant host answers.
   */
  take(value: unknown): void {
    const response = readResponse(value);
    if (response === undefined) throw new Error('the answer is not that of a participant host');
    const { answers = [], refusal } = response;
    if (refusal !== undefined) {
      throw new Error(oneLine(`${refusal.code}: ${refusal.detail}`).slice(0, MAX_SHOWN));
    }
    // A part without an answer counts as one.
    this.count += Math.max(1, answers.length);
    if (this.count > MAX_ANSWERS) throw new Error(`there are more than ${MAX_ANSWERS} answers`);
    for (const answer of answers) {
      const bytes = Buffer.byteLength(answer);
      this.bytes += bytes;
      if (bytes > MAX_ANSWER_BYTES) throw new Error(`an answer has more than ${MAX_ANSWER_BYTES} bytes`);
      if (this.bytes > MAX_RESPONSE_BYTES)
        throw new Error(`the answer has more than ${MAX_RESPONSE_BYTES} bytes`);
      this.receive(valueIn(answer));
    }
  }
}

/** @returns undefined for what is no JSON: that is no answer. */
function valueIn(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
