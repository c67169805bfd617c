import type { ResolvedCoordinatorOptions } from '../coordinator.options.js';
import type { DecisionLog } from '../log/decision-log.js';
import type { ParticipantRegistry } from '../participant/participant.registry.js';
import { Admission } from './admission.js';
import { AmbientTransactions } from './ambient.js';
import type { Clock } from './clock.js';
import { Deadlines } from './deadlines.js';
import { Executor } from './executor.js';
import type { TransactionObserver } from './observer.js';
import { TransactionIds } from './transaction-ids.js';
import { TransactionRegistry } from './transaction-registry.js';

/** What a coordinator is handed from outside. */
export interface RuntimeParts {
  readonly options: ResolvedCoordinatorOptions;
  readonly participants: ParticipantRegistry;
  readonly clock: Clock;
  /** From 0 (included) to 1 (excluded). */
  readonly random: () => number;
  readonly log: DecisionLog;
  readonly observer: TransactionObserver;
}

/** One running coordinator: its parts, put together once. */
export class CoordinatorRuntime {
  readonly ids: TransactionIds;
  readonly registry: TransactionRegistry;
  readonly ambient = new AmbientTransactions();
  readonly executor: Executor;
  readonly admission: Admission;

  constructor(readonly parts: RuntimeParts) {
    const { options, participants, clock, random, log, observer } = parts;
    this.ids = new TransactionIds(options.name);
    this.registry = new TransactionRegistry(
      this.ids,
      options.maxInFlight,
      options.retainFinished,
      options.retainFinishedMs,
    );
    const deadlines = new Deadlines(this.registry);
    const { registry, ambient } = this;
    const { completionWaitMs } = options;
    this.executor = new Executor({
      clock,
      random,
      log,
      registry,
      deadlines,
      ambient,
      observer,
      completionWaitMs,
    });
    this.admission = new Admission(options, this.ids, registry, deadlines, participants, this.executor);
  }

  /** Deals with every deadline that has passed, and drops what was kept long enough. */
  sweep(): void {
    this.executor.sweep();
    this.registry.expire(this.parts.clock.now());
  }
}
