import { Inject, Injectable, Logger, type Type } from '@nestjs/common';
import type { ResolvedCoordinatorOptions } from '../coordinator.options.js';
import { COORDINATOR_OPTIONS } from '../coordinator.tokens.js';
import { DuplicateParticipantError, InvalidRequestError, UnknownParticipantError } from '../errors.js';
import { textAt } from '../gate/failure.js';
import { MAX_CODE_LENGTH, describeAnswer, shortened } from '../gate/texts.js';
import { AwaitedParticipant } from './awaited-participant.js';
import type { ParticipantReference } from './branch-request.js';
import type { ParticipantClaims } from './participant-claims.js';
import type { ParticipantResolver } from './participant-resolver.js';
import { type ParticipantOptions, resolveParticipantOptions } from './participant.options.js';
import type { TransactionParticipant } from './participant.js';
import { checkMethods, classNameOf, classOf } from './participant-methods.js';
import { type Pause, RegisteredParticipant } from './registered-participant.js';

/**
 * The participants that transactions can name. Those decorated with `@Participant` are registered at start-up;
 * others may come and go at run time.
 *
 * @publicApi
 */
@Injectable()
export class ParticipantRegistry implements ParticipantResolver {
  private readonly logger = new Logger(ParticipantRegistry.name);
  private readonly participants = new Map<string, RegisteredParticipant>();
  /** Those that decisions of earlier runs name and that are not registered. */
  private readonly awaited = new Map<string, RegisteredParticipant>();
  /** Claims the participants for the coordinator that runs; undefined while there is none that claims. */
  private claims: ParticipantClaims | undefined;
  /** Whether a participant that is registered from now on is claimed at once. */
  private isStarted = false;
  /** By the name of the participant, which may have been removed meanwhile. */
  private readonly pauses = new Map<string, Pause>();
  /** By name and by class: whatever a branch may be named by. A class that several share names none of them. */
  private readonly references = new Map<ParticipantReference, RegisteredParticipant | undefined>();
  private lastRank = 0;
  /**
   * Hears of each participant that is registered.
   *
   * @internal
   */
  onRegistered: ((participant: RegisteredParticipant) => void) | undefined = undefined;

  constructor(@Inject(COORDINATOR_OPTIONS) private readonly defaults: ResolvedCoordinatorOptions) {}

  /**
   * Adds a participant.
   *
   * @param options as for `@Participant`.
   * @param aliases further classes by which branches may name it.
   * @throws InvalidParticipantError when a method is missing, or is none.
   * @throws DuplicateParticipantError when the name is taken.
   * @throws InvalidOptionsError when an option is unknown or impossible.
   */
  register(
    instance: TransactionParticipant,
    options: ParticipantOptions,
    ...aliases: Type<TransactionParticipant>[]
  ): RegisteredParticipant {
    const className = classNameOf(instance);
    checkMethods(instance, className);
    const resolved = resolveParticipantOptions(options, className, this.defaults);
    const taken = this.participants.get(resolved.name);
    if (taken !== undefined) throw new DuplicateParticipantError(resolved.name, className, taken.className);

    const classes = new Set([classOf(instance), ...aliases].filter(isClassOfParticipants));
    const registered = this.make(instance, className, resolved, [...classes]);
    this.participants.set(resolved.name, registered);
    this.refer(registered);
    this.logger.log(
      `Participant "${resolved.name}" (${className}): prepare within ${resolved.prepareTimeoutMs} ms, ` +
        `${resolved.maxAttempts} attempts of ${resolved.completionTimeoutMs} ms to complete` +
        (registered.onePhase ? ', one-phase' : ''),
    );
    if (this.isStarted) void this.claims?.claimLater(registered);
    this.onRegistered?.(registered);
    return registered;
  }

  /**
   * From now on participants are claimed for a run.
   *
   * @internal
   */
  claimWith(claims: ParticipantClaims): void {
    this.claims = claims;
    for (const registered of this.participants.values()) this.requireClaim(registered);
  }

  /**
   * Claims a participant now, and not only when every module is initialised: for one of which branches may be begun before.
   *
   * @returns a promise that rejects with what the participant throws. Nothing happens when it is not registered, or no
   * coordinator runs that claims its participants.
   */
  async claim(instance: TransactionParticipant): Promise<void> {
    const registered = this.list().find((participant) => participant.instance === instance);
    if (registered !== undefined) await this.claims?.claim(registered);
  }

  /**
   * Claims all participants that are registered, at the start. Those that are registered later are claimed then.
   *
   * @throws what the first of them throws.
   * @internal
   */
  async claimAll(): Promise<void> {
    await this.claims?.claimAll(this.list());
    this.isStarted = true;
  }

  /**
   * Claims once more those that have not let the run in.
   *
   * @returns a promise that is never a rejection.
   * @internal
   */
  async claimAgain(): Promise<void> {
    const { claims } = this;
    if (!this.isStarted || claims === undefined) return;
    const missing = this.list().filter(({ isClaimed }) => !isClaimed);
    await Promise.all(missing.map((registered) => claims.claimLater(registered)));
  }

  private requireClaim(registered: RegisteredParticipant): void {
    registered.isClaimed = this.claims?.isNeeded(registered) !== true;
  }

  /**
   * Removes a participant: new transactions cannot name it. What it has prepared is still completed with it.
   *
   * @returns whether it was there.
   */
  unregister(name: string): boolean {
    const registered = this.participants.get(name);
    if (registered === undefined) return false;
    this.participants.delete(name);
    this.references.clear();
    for (const remaining of this.participants.values()) this.refer(remaining);
    this.logger.log(`Participant "${name}" (${registered.className}) was removed`);
    return true;
  }

  /**
   * @param reference a name or a class.
   * @throws UnknownParticipantError when nobody is registered under it.
   * @throws InvalidRequestError when it is a class that several participants share.
   */
  get(reference: ParticipantReference): RegisteredParticipant {
    const registered = this.references.get(reference);
    if (registered !== undefined) return registered;
    const name = wordsFor(reference);
    if (!this.references.has(reference))
      throw new UnknownParticipantError(name, [...this.participants.keys()]);
    const sharers = this.list().filter(({ classes }) => (classes as readonly unknown[]).includes(reference));
    throw new InvalidRequestError(
      'participant',
      `is the class ${name}, which is registered as ${sharers.map((sharer) => sharer.name).join(' and ')}: use the name`,
    );
  }

  /**
   * For a branch that must be completed whether or not its participant is there.
   *
   * @param address where the log says that it is reached. One that is registered here needs none. One that stands in keeps it,
   * the latest where there were several.
   * @returns the participant of that name, or one that stands in for it until it is registered.
   */
  await(name: string, address?: string): RegisteredParticipant {
    const registered = this.participants.get(name);
    if (registered !== undefined) return registered;
    const before = this.awaited.get(name);
    if (before !== undefined) {
      before.address = address ?? before.address;
      return before;
    }
    const options = resolveParticipantOptions({ name }, AwaitedParticipant.name, this.defaults);
    const standIn = new RegisteredParticipant(
      new AwaitedParticipant(name),
      AwaitedParticipant.name,
      options,
      [],
      address,
    );
    this.awaited.set(name, standIn);
    return standIn;
  }

  /**
   * An operator pauses whoever bears this name, also one that is registered under it later.
   *
   * @internal
   */
  pause(name: string, pause: Pause): void {
    this.pauses.set(name, pause);
    const registered = this.participants.get(name);
    if (registered !== undefined) registered.paused = pause;
  }

  /** @internal */
  resume(name: string): void {
    this.pauses.delete(name);
    const registered = this.participants.get(name);
    if (registered !== undefined) registered.paused = undefined;
  }

  /** @internal */
  isPaused(name: string): boolean {
    return this.pauses.has(name);
  }

  /** @returns every participant, in the order of registration. */
  list(): RegisteredParticipant[] {
    return [...this.participants.values()];
  }

  /** What was kept for a participant that was awaited under this name is handed to it. */
  private make(...of: ConstructorParameters<typeof RegisteredParticipant>): RegisteredParticipant {
    const [, , { name }] = of;
    const awaited = this.awaited.get(name);
    this.awaited.delete(name);
    awaited?.become(...of);
    const registered = awaited ?? new RegisteredParticipant(...of);
    registered.paused = this.pauses.get(name);
    this.requireClaim(registered);
    registered.rank = ++this.lastRank;
    return registered;
  }

  private refer(registered: RegisteredParticipant): void {
    this.references.set(registered.name, registered);
    for (const reference of registered.classes) {
      this.references.set(reference, this.references.has(reference) ? undefined : registered);
    }
  }
}

/** @returns what a branch has named its participant by, in words. */
function wordsFor(reference: unknown): string {
  if (typeof reference === 'string') return shortened(reference, MAX_CODE_LENGTH);
  return typeof reference === 'function'
    ? (textAt(reference, 'name') ?? 'a class')
    : describeAnswer(reference);
}

/** A plain object's class is Object, by which nobody means this participant. */
function isClassOfParticipants(reference: unknown): reference is Type<TransactionParticipant> {
  return typeof reference === 'function' && reference !== Object;
}
