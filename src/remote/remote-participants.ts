import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { SafeLogger } from '../coordinator/gate/safe-logger.js';
import {
  DuplicateParticipantError,
  type ParticipantOptions,
  ParticipantNotFoundError,
  ParticipantRegistry,
  TransactionManager,
} from '../coordinator/index.js';
import { AddressRefusedError, ParticipantNeededError } from './errors.js';
import { HttpTransport } from './http-transport.js';
import type { ResolvedRemoteOptions } from './options.js';
import { RemoteParticipant } from './remote-participant.js';
import type { ParticipantTransport } from './transport.js';
import { type Credentials, participantNameSchema } from './wire/index.js';

export const REMOTE_OPTIONS = Symbol('REMOTE_OPTIONS');

/** One remote participant, as it is reached now. @publicApi */
export interface RemoteParticipantView {
  readonly name: string;
  readonly address: string;
  /** `configured`, or `registered` at run time. */
  readonly origin: 'configured' | 'registered';
  /** The calls that wait for an answer, and those that wait for a place. */
  readonly inFlight: number;
  readonly queued: number;
}

interface Known {
  readonly participant: RemoteParticipant;
  readonly origin: RemoteParticipantView['origin'];
  /** The revision of its registration. */
  revision: number;
}

/**
 * The participants of this coordinator that are in other processes. They are configured, or register themselves.
 *
 * @publicApi
 */
@Injectable()
export class RemoteParticipants implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new SafeLogger(RemoteParticipants.name);
  private readonly known = new Map<string, Known>();
  /** Why registrations were not taken over at the last refresh, by name. */
  private readonly notTakenOver = new Map<string, string>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly transports = new Set<ParticipantTransport>();
  /** One change at a time. */
  private changes: Promise<unknown> = Promise.resolve();
  private refreshing: Promise<void> | undefined;
  private refreshProblem: string | undefined;
  private forgetting: Promise<void> | undefined;
  private isClosed = false;

  /** @internal */
  constructor(
    @Inject(REMOTE_OPTIONS) private readonly options: ResolvedRemoteOptions,
    private readonly registry: ParticipantRegistry,
    private readonly transactions: TransactionManager,
  ) {}

  /** @throws DuplicateParticipantError, InvalidOptionsError as the registration of any participant does. */
  async onModuleInit(): Promise<void> {
    for (const { address, credentials, ...options } of this.options.participants) {
      const transport = typeof address === 'string' ? this.http(address, credentials) : address;
      this.add(options, transport, 'configured', 0);
    }
    const { registrations, refreshIntervalMs, forgetIntervalMs } = this.options;
    if (registrations !== undefined) {
      await this.refreshNow();
      this.timers.add(setInterval(() => void this.refresh(), refreshIntervalMs).unref());
    }
    this.timers.add(setInterval(() => this.announceMarks(), forgetIntervalMs).unref());
  }

  /**
   * Decisions are still delivered until here. What still asks a host ends with its connection: a host that hangs keeps no
   * process from its end.
   */
  async onApplicationShutdown(): Promise<void> {
    this.isClosed = true;
    for (const timer of this.timers) clearInterval(timer);
    await Promise.allSettled([...this.transports].map(async (transport) => transport.close()));
    await Promise.allSettled([this.changes, this.refreshing, this.forgetting]);
    await Promise.all([...this.known.values()].map(({ participant }) => participant.looked()));
  }

  /** @returns every remote participant, as it is reached now. */
  list(): RemoteParticipantView[] {
    return [...this.known].map(([name, { participant, origin }]) => {
      const { inFlight, queued } = participant.load;
      return { name, address: participant.remoteAddress, origin, inFlight, queued };
    });
  }

  /**
   * Registers a participant, or takes it to another address. Branches in doubt follow it. The registration is durable
   * when the promise resolves, and the participant was asked to accept this run of the coordinator.
   *
   * @param name the name of the participant.
   * @param address the URL of its host, with the prefix. Its origin must be allowed.
   * @throws AddressRefusedError when the address is not allowed.
   * @throws DuplicateParticipantError when the name belongs to a participant of this process, or with a configured address.
   * @throws an error of the store. It is then unknown whether the registration is kept, so register again.
   */
  register(name: string, address: string): Promise<void> {
    return this.inTurn(async () => {
      const store = this.storeOf();
      this.options.allow.check(address);
      if (!participantNameSchema.safeParse(name).success)
        throw new AddressRefusedError(`${JSON.stringify(name).slice(0, 40)} is no name of a participant`);
      this.checkName(name);
      const known = this.known.get(name);
      if (known?.participant.remoteAddress !== address) {
        await store.register({ name, address, details: null });
      }
      await this.refreshNow();
      const { participant } = this.known.get(name)!;
      // If it has not accepted this run yet, the recovery job asks it again.
      await this.registry.claim(participant).catch(() => {});
    });
  }

  /**
   * Removes a participant that has registered itself.
   *
   * @throws ParticipantNeededError when a transaction needs it, its host holds branches in doubt, or the host cannot be
   * asked. Nothing has changed then.
   * @throws ParticipantNotFoundError when no participant has registered itself under this name.
   */
  unregister(name: string): Promise<void> {
    return this.inTurn(async () => {
      const store = this.storeOf();
      const known = this.known.get(name);
      if (known?.origin !== 'registered') throw new ParticipantNotFoundError(name);
      // No new branch comes from here on, so what is found to be over stays so.
      known.participant.isRemoved = true;
      try {
        await this.checkNotNeeded(known.participant);
        await store.unregister(name);
      } catch (error) {
        known.participant.isRemoved = false;
        throw error;
      }
      this.drop(name, known);
    });
  }

  private async checkNotNeeded(participant: RemoteParticipant): Promise<void> {
    const { name } = participant;
    const id = this.unsettledTransactionOf(participant);
    if (id !== undefined) throw new ParticipantNeededError(name, `the transaction ${id} has a branch of it`);
    let branches;
    try {
      branches = await participant.recover();
    } catch (error) {
      throw new ParticipantNeededError(
        name,
        `it may hold branches in doubt, and cannot be asked (${(error as Error).message})`,
      );
    }
    const [branch] = branches;
    if (branch !== undefined) {
      throw new ParticipantNeededError(
        name,
        `it holds branches in doubt, such as one of ${branch.transactionId}`,
      );
    }
  }

  /** @returns a transaction that may still call the participant, if there is one. */
  private unsettledTransactionOf({ name: participant, claimedRun }: RemoteParticipant): string | undefined {
    let cursor: string | null = null;
    do {
      const filter = {
        participant,
        order: 'oldest',
        limit: 1_000,
        ...(cursor !== null && { cursor }),
      } as const;
      const page = this.transactions.page(filter);
      const found = page.transactions.find(
        ({ transactionId }) => claimedRun?.isUnsettled?.(transactionId) !== false,
      );
      if (found !== undefined) return found.transactionId;
      cursor = page.nextCursor;
    } while (cursor !== null);
    return undefined;
  }

  /** Takes over what has changed in the store, at this member or another one. */
  private async refreshNow(): Promise<void> {
    const found = await this.storeOf().registrations();
    // A new address would be left open.
    this.checkOpen();
    for (const { name, address, revision, isRemoved } of found) {
      const known = this.known.get(name);
      if (known !== undefined && (known.origin === 'configured' || known.revision >= revision)) continue;
      try {
        if (isRemoved) this.removeIfFree(name, known);
        else this.reach(name, address, revision, known);
        this.notTakenOver.delete(name);
      } catch (error) {
        const { message } = error as Error;
        // Each refresh finds it again.
        if (this.notTakenOver.get(name) === message) continue;
        this.notTakenOver.set(name, message);
        this.logger.error(`The registration of "${name}" was not taken over: ${message}`);
      }
    }
  }

  private reach(name: string, address: string, revision: number, known: Known | undefined): void {
    this.options.allow.check(address);
    if (known === undefined) {
      this.checkName(name);
      this.add({ name }, this.http(address), 'registered', revision);
      return;
    }
    const before = known.participant.moveTo(this.http(address));
    known.participant.isRemoved = false;
    known.revision = revision;
    this.retire(before);
    this.logger.log(`Participant "${name}" has moved to ${address}`);
  }

  /** Another member has removed it. While a transaction of this member needs it, it takes no new branch, and stays. */
  private removeIfFree(name: string, known: Known | undefined): void {
    if (known === undefined) return;
    known.participant.isRemoved = true;
    if (this.unsettledTransactionOf(known.participant) === undefined) this.drop(name, known);
  }

  private drop(name: string, { participant }: Known): void {
    this.known.delete(name);
    this.registry.unregister(name);
    // The registry keeps the participant of a branch that comes late.
    this.logger.log(`Participant "${name}" at ${participant.remoteAddress} was removed`);
  }

  private add(
    options: ParticipantOptions,
    transport: ParticipantTransport,
    origin: Known['origin'],
    revision: number,
  ): void {
    const participant = new RemoteParticipant(options.name, transport, this.options.limits);
    this.transports.add(transport);
    this.registry.register(participant, options);
    this.known.set(options.name, { participant, origin, revision });
  }

  private http(address: string, credentials: Credentials = this.options.credentials): HttpTransport {
    const { tls, limits } = this.options;
    const transport = new HttpTransport(address, { credentials, tls, maxConnections: limits.maxConnections });
    this.transports.add(transport);
    return transport;
  }

  /** Calls of the former address may still be answered there. */
  private retire(transport: ParticipantTransport): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      this.transports.delete(transport);
      void Promise.resolve(transport.close()).catch(() => {});
    }, this.options.limits.adminTimeoutMs);
    this.timers.add(timer.unref());
  }

  private checkName(name: string): void {
    const known = this.known.get(name);
    if (known?.origin === 'configured') {
      throw new DuplicateParticipantError(
        name,
        'A host that registers itself',
        'the options of this coordinator',
      );
    }
    if (known !== undefined) return;
    const taken = this.registry.list().find((participant) => participant.name === name);
    if (taken !== undefined)
      throw new DuplicateParticipantError(name, RemoteParticipant.name, taken.className);
  }

  private storeOf(): NonNullable<ResolvedRemoteOptions['registrations']> {
    const { registrations } = this.options;
    if (registrations === undefined) {
      throw new AddressRefusedError('no participant may register here, since the option allow has no entry');
    }
    return registrations;
  }

  private refresh(): Promise<void> {
    this.refreshing ??= this.inTurn(() => this.refreshNow())
      .then(
        () => {
          this.refreshProblem = undefined;
        },
        (error: unknown) => this.reportRefresh(String(error)),
      )
      .finally(() => {
        this.refreshing = undefined;
      });
    return this.refreshing;
  }

  private reportRefresh(problem: string): void {
    if (this.isClosed || this.refreshProblem === problem) return;
    this.refreshProblem = problem;
    this.logger.warn(
      `The registrations of participants could not be read, and stay as they were: ${problem}`,
    );
  }

  /** A mark that is lost is announced again with the next one. */
  private announceMarks(): void {
    for (const { participant } of this.known.values()) participant.lookSoon();
    this.forgetting ??= Promise.allSettled(
      [...this.known.values()].map(({ participant }) => participant.announceMarks()),
    ).then(() => {
      this.forgetting = undefined;
    });
  }

  private inTurn<T>(change: () => Promise<T>): Promise<T> {
    const done = this.changes.then(() => {
      this.checkOpen();
      return change();
    });
    this.changes = done.catch(() => {});
    return done;
  }

  private checkOpen(): void {
    if (this.isClosed) throw new AddressRefusedError('the coordinator is shutting down');
  }
}
