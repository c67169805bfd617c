import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { CoordinatorStatus, ParticipantRegistry, TransactionManager } from '../coordinator/index.js';
import { RestAtAccess } from './access.js';
import { BranchAddresses, ONE_PHASE_NAME, TWO_PHASE_NAME } from './addresses.js';
import { ForgottenReports } from './forgotten-reports.js';
import type { ResolvedRestAtOptions } from './options.js';
import { ParticipantCalls } from './participant-calls.js';
import { RecoveryResources } from './recovery-resources.js';
import { OnePhaseRestAtParticipant, RestAtParticipant } from './rest-at-participant.js';
import { TransactionResources } from './transaction-resources.js';
import { VolatileParticipants } from './volatile-participants.js';

export const REST_AT_OPTIONS = Symbol('REST_AT_OPTIONS');
/** The path before all routes, without slashes around it. */
export const REST_AT_PREFIX = Symbol('REST_AT_PREFIX');

/** The parts of REST-AT, from the start of the application to its end. */
@Injectable()
export class RestAt implements OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  readonly access: RestAtAccess;
  readonly transactions: TransactionResources;
  readonly recovery: RecoveryResources;
  private readonly calls: ParticipantCalls;
  private readonly addresses: BranchAddresses;
  private readonly forgotten: ForgottenReports;
  private timer: NodeJS.Timeout | undefined;
  private sweeping: Promise<unknown> | undefined;

  constructor(
    @Inject(REST_AT_OPTIONS) readonly options: ResolvedRestAtOptions,
    private readonly registry: ParticipantRegistry,
    transactions: TransactionManager,
    status: CoordinatorStatus,
  ) {
    this.access = new RestAtAccess(options.callers);
    this.calls = new ParticipantCalls(options);
    this.addresses = new BranchAddresses(transactions);
    this.forgotten = new ForgottenReports(transactions, this.calls, options.limits.sweepIntervalMs);
    const volatiles = new VolatileParticipants(this.calls, options.limits.maxVolatile);
    const { addresses } = this;
    this.transactions = new TransactionResources({
      transactions,
      status,
      registry,
      addresses,
      volatiles,
      options,
    });
    this.recovery = new RecoveryResources(transactions, addresses, options.allow);
  }

  /** @throws DuplicateParticipantError, InvalidOptionsError as the registration of any participant does. */
  onModuleInit(): void {
    const { calls, addresses, forgotten } = this;
    const { allow, calls: options } = this.options;
    const ended = (transactionId: string, url: string): void => forgotten.watch(transactionId, url);
    const onePhase = new OnePhaseRestAtParticipant(calls, addresses, allow, ended);
    this.registry.register(onePhase, { ...options, name: ONE_PHASE_NAME });
    const twoPhase = new RestAtParticipant(calls, addresses, allow, ended);
    this.registry.register(twoPhase, { ...options, name: TWO_PHASE_NAME });
  }

  /** The transactions of earlier runs are known by now. */
  onApplicationBootstrap(): void {
    this.sweep();
    this.timer = setInterval(() => this.sweep(), this.options.limits.sweepIntervalMs).unref();
  }

  /** Decisions are still delivered until here. */
  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    try {
      await this.sweeping;
    } finally {
      this.calls.close();
    }
  }

  /** One at a time. */
  private sweep(): void {
    this.sweeping ??= Promise.all([
      this.transactions.tellVolatiles(),
      this.forgotten.look(performance.now()),
    ]).finally(() => {
      this.sweeping = undefined;
    });
  }
}
