import type { World } from './world.js';

/** The longest that an ordinary message takes, in milliseconds. */
const MAX_LATENCY_MS = 8;
const MAX_DELAY_MS = 4_000;
/** How long it takes at most to notice that a connection is gone. */
const MAX_SILENCE_MS = 20_000;

/** How long messages take, and which get lost. Each goes its own way, so that any may overtake any other. */
export class Network {
  private latestArrival = 0;

  constructor(private readonly world: World) {}

  /**
   * @param timeoutMs how long the sender waits for the effect of this message.
   * @returns how long the message is under way.
   */
  delayMs(timeoutMs: number): number {
    const { faults, random, witnesses, queue, settings } = this.world;
    let delayMs = random.next() * random.next() * MAX_LATENCY_MS;
    if (faults.strikes('message delivered after the time-out')) delayMs = timeoutMs * random.between(1, 1.5);
    else if (faults.strikes('message delivered after an adoption'))
      delayMs = settings.options.leaseMs * random.between(1, 3);
    else if (faults.strikes('message delayed')) delayMs += random.next() * MAX_DELAY_MS;
    const arrival = queue.now + delayMs;
    if (arrival < this.latestArrival) witnesses.count('message overtakes another');
    else this.latestArrival = arrival;
    return delayMs;
  }

  /** @returns how long until the silence is noticed: at the latest when everything heals. */
  silenceMs(): number {
    const { random } = this.world;
    return random.chance(0.5) ? random.next() * MAX_LATENCY_MS : this.world.untilNoticed(MAX_SILENCE_MS);
  }
}
