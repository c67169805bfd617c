/**
 * The action of an event.
 *
 * @returns true when it turned out that there was nothing to do, so that nothing can follow from it.
 */
export type Action = () => void | true;

/** One thing that is to happen. */
class Event {
  constructor(
    readonly at: number,
    readonly order: number,
    readonly isBackground: boolean,
    readonly action: Action,
  ) {}
}

/**
 * The only source of time: a heap of everything that is to happen. Time stands still while one event takes
 * place, and then is that of the next. Events of one moment happen in the order in which they were planned.
 */
export class EventQueue {
  private readonly heap: Event[] = [];
  private planned = 0;
  /** Milliseconds since the start of the world. */
  now = 0;
  /** How many events are planned, besides the jobs that come again and again. */
  foreground = 0;

  /** Plans something to happen in so many milliseconds. */
  after(delayMs: number, action: Action): void {
    this.foreground++;
    this.push(new Event(this.now + delayMs, this.planned++, false, action));
  }

  /** Plans the next run of a periodic job: with nothing but these left, a world is at rest. */
  inBackground(delayMs: number, action: Action): void {
    this.push(new Event(this.now + delayMs, this.planned++, true, action));
  }

  /**
   * Lets the next event happen, and those before it that turn out to be none.
   *
   * @returns false when there is none left.
   */
  next(): boolean {
    for (;;) {
      const event = this.pop();
      if (event === undefined) return false;
      this.now = event.at;
      if (!event.isBackground) this.foreground--;
      if (event.action() !== true) return true;
    }
  }

  private push(event: Event): void {
    const { heap } = this;
    let place = heap.length;
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (!isBefore(event, heap[above]!)) break;
      heap[place] = heap[above]!;
      place = above;
    }
    heap[place] = event;
  }

  private pop(): Event | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++;
      if (!isBefore(heap[below]!, last)) break;
      heap[place] = heap[below]!;
      place = below;
    }
    heap[place] = last;
    return first;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
