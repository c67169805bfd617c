import type {
  ClaimedMessage,
  DeadMessage,
  DeadMessageInFull,
  OutboxCounts,
  OutboxStore,
  RecordedAttempt,
} from './store.js';

/** A message of a {@link FakeStore}. */
export interface FakeMessage {
  readonly position: number;
  readonly key: string | undefined;
  /** Whether its transaction has committed. */
  isVisible: boolean;
  state: 'waiting' | 'sent' | 'dead';
  attempts: number;
  dueAt: number;
  error: string | undefined;
}

/** A fault of a call of the store: it fails before it has changed anything, or after it has changed all. */
export type Fault = 'before' | 'after' | undefined;

/** A store in memory that keeps the contract, on the clock of the test. Several relays may share it. */
export class FakeStore implements OutboxStore {
  readonly name = 'fake';
  readonly messages: FakeMessage[] = [];
  isClosed = false;
  purges = 0;
  /** Decides about the next call. */
  fault: () => Fault = () => undefined;
  /** How long a call takes, in milliseconds. */
  delay: () => number = () => 0;

  /** Writes a message. Its position is drawn now, also when it becomes visible later. */
  write(key?: string, isVisible = true): FakeMessage {
    const message: FakeMessage = {
      position: this.messages.length + 1,
      key,
      isVisible,
      state: 'waiting',
      attempts: 0,
      dueAt: performance.now(),
      error: undefined,
    };
    this.messages.push(message);
    return message;
  }

  /** The messages that no relay may pass over. */
  earlierOf({ key, position }: Pick<FakeMessage, 'key' | 'position'>): FakeMessage[] {
    return this.messages.filter(
      (other) =>
        key !== undefined &&
        other.key === key &&
        other.position < position &&
        other.isVisible &&
        other.state === 'waiting',
    );
  }

  async start(): Promise<void> {}

  claim(limit: number, leaseMs: number): Promise<readonly ClaimedMessage[]> {
    return this.call(() => {
      const now = performance.now();
      const due = this.messages
        .filter(
          (m) => m.isVisible && m.state === 'waiting' && m.dueAt <= now && this.earlierOf(m).length === 0,
        )
        .toSorted((one, other) => one.dueAt - other.dueAt)
        .slice(0, limit);
      return due.map((message) => {
        message.attempts++;
        message.dueAt = now + leaseMs;
        return claimed(message);
      });
    });
  }

  record(attempts: readonly RecordedAttempt[]): Promise<void> {
    return this.call(() => {
      for (const { position, attempt, result } of attempts) {
        const message = this.messages[position - 1]!;
        if (result.kind === 'sent') message.state = 'sent';
        else if (message.state === 'waiting' && message.attempts === attempt) {
          if (result.kind === 'dead') message.state = 'dead';
          if (result.kind === 'interrupted') message.attempts--;
          else message.error = result.error;
          message.dueAt = performance.now() + (result.kind === 'failed' ? result.retryInMs : 0);
        }
      }
    });
  }

  count(): Promise<OutboxCounts> {
    return this.call(() => {
      const waiting = this.messages.filter(({ state }) => state === 'waiting').length;
      return { waiting, oldestMs: 0, dead: this.messages.filter(({ state }) => state === 'dead').length };
    });
  }

  purge(): Promise<boolean> {
    return this.call(() => ++this.purges % 3 !== 0);
  }

  listDead(limit: number, after = 0): Promise<readonly DeadMessage[]> {
    return this.call(() =>
      this.messages
        .filter(({ state, position }) => state === 'dead' && position > after)
        .slice(0, limit)
        .map(dead),
    );
  }

  async findDead(id: string): Promise<DeadMessageInFull | undefined> {
    const found = (await this.listDead(1_000)).find((message) => message.id === id);
    return found && { ...found, json: JSON.stringify({ position: found.position }) };
  }

  requeue(ids: readonly string[]): Promise<number> {
    return this.end(ids, 'waiting');
  }

  discard(ids: readonly string[]): Promise<number> {
    return this.end(ids, 'sent');
  }

  private end(ids: readonly string[], state: FakeMessage['state']): Promise<number> {
    return this.call(() => {
      const found = this.messages.filter((m) => m.state === 'dead' && ids.includes(`id-${m.position}`));
      for (const message of found) Object.assign(message, { state, attempts: 0 });
      return found.length;
    });
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }

  private async call<T>(effect: () => T): Promise<T> {
    const ms = this.delay();
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
    const fault = this.fault();
    if (fault === 'before') throw new Error('the database is away');
    const result = effect();
    if (fault === 'after') throw new Error('the connection was lost');
    return result;
  }
}

function claimed({ position, key, attempts }: FakeMessage): ClaimedMessage {
  return {
    id: `id-${position}`,
    topic: 'topic',
    ...(key !== undefined && { key }),
    position,
    transactionId: 'shop.1.1',
    writtenAt: '2026-01-01T00:00:00.000Z',
    attempt: attempts,
    json: JSON.stringify({ position }),
  };
}

function dead(message: FakeMessage): DeadMessage {
  const { attempt: attempts, json: _, ...rest } = claimed(message);
  return { ...rest, attempts, error: message.error ?? '' };
}
