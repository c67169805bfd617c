import {
  type CoordinatorOptions,
  CoordinatorError,
  type Outcome,
  type Transaction,
  branch,
} from '../../src/coordinator/index.js';
import {
  ManualClock,
  type TestCoordinator,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { Actor, LogActor, type Say } from './actors.js';
import { Narrator, outcomeInWords, viewInWords } from './narrator.js';
import type { Happening, Transcript } from './transcript.js';

const START_MS = 1_000;

/** The world of one transcript: a whole coordinator, whose participants, log and time obey the transcript. */
export class Stage {
  private readonly clock = new ManualClock(START_MS);
  private readonly actors = new Map<string, Actor>();
  private readonly coordinator: TestCoordinator;
  private readonly controller = new AbortController();
  private happenings: Happening[] = [];
  private handle: Transaction | undefined;
  private readonly logActor: LogActor;

  constructor({ settings }: Transcript) {
    this.logActor = new LogActor(this.say);
    this.coordinator = createTestCoordinator({
      ...optionsIn(settings.get('options')),
      clock: this.clock,
      observer: new Narrator(this.say),
      ...(settings.get('log') === 'answers when told' && { log: this.logActor }),
    });
    for (const entry of listIn(settings.get('participants'))) {
      const [, name, onePhase] = /^([a-z-]+)( \(one-phase\))?$/.exec(entry) ?? [];
      if (name === undefined) throw new Error(`"${entry}" is no participant.`);
      const actor = new Actor(name, onePhase !== undefined, this.say);
      this.actors.set(name, actor);
      this.coordinator.participants.register(actor, { name });
    }
  }

  /** Waits until nothing more happens of itself, and hands over what has happened since the last time. */
  async take(): Promise<readonly Happening[]> {
    await settled();
    const { happenings } = this;
    this.happenings = [];
    return happenings;
  }

  actor(name: string): Actor {
    const actor = this.actors.get(name);
    if (actor === undefined) throw new Error(`There is no participant ${name} in this transcript.`);
    return actor;
  }

  get log(): LogActor {
    return this.logActor;
  }

  run(participants: string, withSignal: boolean): void {
    const branches = listIn(participants).map((name) => branch(name, workFor(name)));
    const outcome = this.coordinator.transactions.run({
      branches,
      ...(withSignal && { signal: this.controller.signal }),
    });
    this.listen('run', outcome);
  }

  abortSignal(reason: string): void {
    this.controller.abort(new Error(reason));
  }

  begin(timeoutMs: number | undefined): void {
    const options = timeoutMs === undefined ? {} : { timeoutMs };
    this.orRefused('begin', () => {
      this.handle = this.coordinator.transactions.begin(options);
    });
  }

  /** Calls the transaction that was begun last. Its refusal is written down. */
  ask(what: string, question: (transaction: Transaction) => Promise<Outcome> | string | void): void {
    const { handle } = this;
    if (handle === undefined) throw new Error(`There is no transaction to ${what}.`);
    this.orRefused(what, () => {
      const answer = question(handle);
      if (answer instanceof Promise) this.listen(what, answer);
    });
  }

  passTime(ms: number): Promise<void> {
    return this.clock.advance(ms, 5);
  }

  /** The job's pass ends when its calls are answered, by later inputs. */
  recover(): void {
    void this.coordinator.recover();
  }

  remove(participant: string): void {
    this.coordinator.participants.unregister(participant);
  }

  show(): void {
    const { transactions } = this.coordinator;
    for (const { transactionId } of transactions.list()) {
      for (const [who, what] of viewInWords(transactions.find(transactionId)!)) this.say(who, what);
    }
  }

  forget(): void {
    for (const { transactionId } of this.coordinator.transactions.list()) {
      this.coordinator.transactions.forget(transactionId);
    }
  }

  private readonly say: Say = (who, what) => {
    this.happenings.push({ atMs: this.clock.now() - START_MS, who, what });
  };

  private orRefused(what: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof CoordinatorError)) throw error;
      this.say('caller', `is refused ${what}: ${error.code}`);
    }
  }

  private listen(call: string, outcome: Promise<Outcome>): void {
    void outcome.then(
      (told) => this.say('caller', `hears from ${call}: ${outcomeInWords(told)}`),
      (error: unknown) => this.say('caller', `is refused ${call}: ${(error as CoordinatorError).code}`),
    );
  }
}

/** The payload of a participant. The transcript says when a call has none. */
export function workFor(participant: string): string {
  return `work for ${participant}`;
}

function listIn(text: string | undefined): string[] {
  return text === undefined ? [] : text.split(', ');
}

/** `maxAttempts 3, prepareTimeoutMs 500` */
function optionsIn(text: string | undefined): CoordinatorOptions {
  return Object.fromEntries(
    listIn(text).map((option) => {
      const [name, value] = option.split(' ');
      return [name, Number(value)];
    }),
  );
}
