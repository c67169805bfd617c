import { Tail } from './tail.ts';

/** Characters of one rung that are kept while another one is shown, and of which its failures are told. */
const MAX_KEPT = 8 * 2 ** 20;

/** What one rung says. */
export interface Output {
  add(text: string): void;
  /** Nothing follows. */
  end(): void;
  /** What it has said, the last of it if that is long. */
  readonly text: string;
}

/**
 * The outputs of rungs that run beside each other, each in one piece. That of the rung which began first is
 * shown as it comes, and those of the others when their turn comes.
 */
export class Outputs {
  /** Those that are not shown to their end, by their beginning. */
  private readonly waiting: { readonly tail: Tail; ended: boolean }[] = [];

  private readonly show: (text: string) => void;

  constructor(show: (text: string) => void) {
    this.show = show;
  }

  begin(): Output {
    const one = { tail: new Tail(MAX_KEPT), ended: false };
    this.waiting.push(one);
    return {
      add: (text) => {
        one.tail.add(text);
        if (this.waiting[0] === one) this.show(text);
      },
      end: () => {
        one.ended = true;
        this.goOn();
      },
      get text() {
        return one.tail.text;
      },
    };
  }

  private goOn(): void {
    while (this.waiting[0]?.ended === true) {
      this.waiting.shift();
      const next = this.waiting[0];
      if (next !== undefined) this.show(next.tail.text);
    }
  }
}
