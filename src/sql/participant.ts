import type { OnApplicationShutdown, OnModuleInit } from '@nestjs/common';
import type {
  Branch,
  CoordinatorRun,
  DatabaseInspection,
  IsOwnRun,
  OnePhaseAnswer,
  ParticipantCapacity,
  PreparedBranch,
  Registration,
  TransactionParticipant,
  Vote,
} from '../coordinator/participant/participant.js';

/** The options that a participant passes on to the resource manager of its database. @publicApi */
export interface SqlResourceManager {
  start(coordinator?: CoordinatorRun, isOwnRun?: IsOwnRun): Promise<void>;
  close(): Promise<void>;
  commit(branch: Branch): Promise<void>;
  rollback(branch: Branch): Promise<void>;
  recover(run?: CoordinatorRun): Promise<readonly PreparedBranch[]>;
  endSessionsOf(run: CoordinatorRun): Promise<void>;
  capacity(): Promise<ParticipantCapacity>;
  inspect(signal: AbortSignal): Promise<DatabaseInspection>;
}

/** The common part of all participants whose data is in an SQL database. @publicApi */
export abstract class SqlParticipantBase<P, M extends SqlResourceManager>
  implements TransactionParticipant<P>, OnModuleInit, OnApplicationShutdown
{
  /** The guard row is written in the transaction of the work. */
  readonly guardsItself = true;
  private registration: Registration | undefined;
  private manager: M | undefined;

  /**
   * @param givenName the name, where it does not come from the registration.
   * @param makeManager makes the resource manager of the participant with this name.
   * @param noNameError makes the error of a participant that is used before its name is known.
   */
  protected constructor(
    private readonly givenName: string | undefined,
    private readonly makeManager: (name: string) => M,
    private readonly noNameError: (message: string) => Error,
  ) {}

  registered(registration: Registration): void {
    this.registration = registration;
  }

  abstract prepare(branch: Branch<P>): Promise<Vote>;

  abstract commitOnePhase(branch: Branch<P>): Promise<OnePhaseAnswer>;

  commit(branch: Branch<P>): Promise<void> {
    return this.resourceManager.commit(branch);
  }

  rollback(branch: Branch<P>): Promise<void> {
    return this.resourceManager.rollback(branch);
  }

  recover(run?: CoordinatorRun): Promise<readonly PreparedBranch[]> {
    return this.resourceManager.recover(run);
  }

  endSessionsOf(run: CoordinatorRun): Promise<void> {
    return this.resourceManager.endSessionsOf(run);
  }

  capacity(): Promise<ParticipantCapacity> {
    return this.resourceManager.capacity();
  }

  inspect(signal: AbortSignal): Promise<DatabaseInspection> {
    return this.resourceManager.inspect(signal);
  }

  /**
   * @throws the start-up error of the database when another process or log has used it under this
   * coordinator's name.
   */
  async claim(run: CoordinatorRun, isOwnRun: IsOwnRun): Promise<void> {
    await this.resourceManager.start(run, isOwnRun);
  }

  /**
   * @throws the start-up error of the database when it cannot be used in its present state: the application
   * does not start.
   */
  async onModuleInit(): Promise<void> {
    await this.resourceManager.start();
    await this.registration?.claim();
  }

  /** The coordinator has waited for the transactions in flight before. */
  async onApplicationShutdown(): Promise<void> {
    await this.manager?.close();
  }

  /** Made on first use: the name is known only once the participant is registered. */
  protected get resourceManager(): M {
    this.manager ??= this.makeManager(this.name);
    return this.manager;
  }

  private get name(): string {
    const name = this.givenName ?? this.registration?.name;
    if (name !== undefined) return name;
    throw this.noNameError(
      `${this.constructor.name} does not know its name, so it cannot prepare a branch. Decorate it with @Participant and import ` +
        'CoordinatorModule, register it with ParticipantRegistry before it is initialised, or give it the option `name`.',
    );
  }
}
