import { Inject, Injectable, type Type } from '@nestjs/common';
import type { ResolvedCoordinatorOptions } from '../coordinator.options.js';
import { COORDINATOR_OPTIONS } from '../coordinator.tokens.js';
import { DuplicateParticipantError, InvalidRequestError, UnknownParticipantError } from '../errors.js';
import { textAt } from '../gate/failure.js';
import { SafeLogger } from '../gate/safe-logger.js';
import { MAX_CODE_LENGTH, describeAnswer, shortened } from '../gate/texts.js';
import { AwaitedParticipant } from './awaited-participant.js';
import type { ParticipantReference } from './branch-request.js';
import type { ParticipantClaims } from './participant-claims.js';
import { type LastResource, LastResourceParticipant, checkLastResource } from './last-resource.js';
import { type ParticipantEntry, entryOf } from './participant-entry.js';
import {
  type ParticipantOptions,
  type ResolvedParticipantOptions,
  resolveParticipantOptions,
} from './participant.options.js';
import type { CoordinatorRun, TransactionParticipant } from './participant.js';
import { checkMethods, classNameOf, classOf } from './participant-methods.js';
import { type Pause, RegisteredParticipant } from './registered-participant.js';

/**
 * The participants that transactions can name. Those decorated with `@Participant` are registered at
 * start-up. Others can be registered and removed at run time.
 *
 * @publicApi
 */
@Injectable()
export class ParticipantRegistry {
  private readonly logger = new SafeLogger(ParticipantRegistry.name);
  private readonly participants = new Map<string, RegisteredParticipant>();
  /** The unregistered participants that decisions of earlier runs name. */
  private readonly awaited = new Map<string, RegisteredParticipant>();
  /** Claims the participants for the running coordinator; undefined if no running coordinator claims them. */
  private claims: ParticipantClaims | undefined;
  /** Whether a participant is claimed as soon as it is registered. */
  private isStarted = false;
  /** By the name of the participant. The participant may have been removed since. */
  private readonly pauses = new Map<string, Pause>();
  /** By name and by class. A class that several participants share names none of them. */
  private readonly references = new Map<ParticipantReference, RegisteredParticipant | undefined>();
  private lastRank = 0;
  /**
   * Changes with what a name or a class refers to.
   *
   * @internal
   */
  version = 0;
  /**
   * Called with each participant that is registered.
   *
   * @internal
   */
  onRegistered: ((participant: RegisteredParticipant) => void) | undefined = undefined;

  /** @internal */
  constructor(@Inject(COORDINATOR_OPTIONS) private readonly defaults: ResolvedCoordinatorOptions) {}

  /**
   * Adds a participant.
   *
   * @param options as for `@Participant`.
   * @param instance the participant, or a last resource if the options say so.
   * @param aliases further classes that name the participant.
   * @returns what the registry holds of it now.
   * @throws InvalidParticipantError when a method is missing or is not a function.
   * @throws DuplicateParticipantError when the name is taken.
   * @throws InvalidOptionsError when an option is unknown or has an impossible value.
   * @throws what the participant throws from `registered`.
   */
  register(
    instance: TransactionParticipant | LastResource,
    options: ParticipantOptions,
    ...aliases: Type<TransactionParticipant | LastResource>[]
  ): ParticipantEntry {
    const className = classNameOf(instance);
    const resolved = resolveParticipantOptions(options, className, this.defaults);
    const called = calledAs(instance, className, resolved);
    const taken = this.participants.get(resolved.name);
    if (taken !== undefined) throw new DuplicateParticipantError(resolved.name, className, taken.className);

    called.registered?.({ name: resolved.name, claim: () => this.claim(called) });
    const classes = new Set([classOf(instance), ...aliases].filter(isClassOfParticipants));
    const registered = this.make(called, className, resolved, [...classes]);
    this.participants.set(resolved.name, registered);
    this.refer(registered);
    this.logger.log(
      `Participant "${resolved.name}" (${className}): prepare within ${resolved.prepareTimeoutMs} ms, ` +
        `${resolved.maxAttempts} attempts of ${resolved.completionTimeoutMs} ms to complete` +
        (registered.isLastResource ? ', last resource' : registered.onePhase ? ', one-phase' : ''),
    );
    if (this.isStarted) void this.claims?.claimLater(registered);
    this.onRegistered?.(registered);
    return entryOf(registered);
  }

  /**
   * Claims participants for a run from now on.
   *
   * @internal
   */
  claimWith(claims: ParticipantClaims): void {
    this.claims = claims;
    for (const registered of this.participants.values()) this.requireClaim(registered);
  }

  /**
   * Claims a participant now instead of after the initialisation of all modules. It is for a participant
   * whose branches may start before that.
   *
   * @returns a promise that rejects with the participant's error. Nothing happens if the participant is not
   * registered, or if no running coordinator claims it.
   */
  async claim(instance: TransactionParticipant): Promise<void> {
    const registered = this.registered().find((participant) => participant.instance === instance);
    if (registered !== undefined) await this.claims?.claim(registered);
  }

  /**
   * Claims all registered participants at the start. A participant that is registered later is claimed at its
   * registration.
   *
   * @throws the first error of a participant.
   * @internal
   */
  async claimAll(): Promise<void> {
    await this.claims?.claimAll(this.registered());
    this.isStarted = true;
  }

  /**
   * Claims the participants again that have not accepted the run.
   *
   * @returns a promise that never rejects.
   * @internal
   */
  async claimAgain(): Promise<void> {
    const { claims } = this;
    if (!this.isStarted || claims === undefined) return;
    const missing = this.registered().filter(({ isClaimed }) => !isClaimed);
    await Promise.all(missing.map((registered) => claims.claimLater(registered)));
  }

  /**
   * Claims the participants for a later run of the same process. Until a participant has accepted it, none of
   * its branches is started.
   *
   * @returns a promise that never rejects.
   * @internal
   */
  async claimForNext(run: CoordinatorRun): Promise<void> {
    this.claims?.startAgain(run);
    for (const registered of this.participants.values()) this.requireClaim(registered);
    await this.claimAgain();
  }

  private requireClaim(registered: RegisteredParticipant): void {
    registered.isClaimed = this.claims?.isNeeded(registered) !== true;
  }

  /**
   * Removes a participant. New transactions cannot name it. Its prepared branches are still completed with
   * it.
   *
   * @returns whether it was registered.
   */
  unregister(name: string): boolean {
    const registered = this.participants.get(name);
    if (registered === undefined) return false;
    this.participants.delete(name);
    this.version++;
    this.references.clear();
    for (const remaining of this.participants.values()) this.refer(remaining);
    this.logger.log(`Participant "${name}" (${registered.className}) was removed`);
    return true;
  }

  /**
   * @param reference a name or a class.
   * @throws UnknownParticipantError when no participant is registered under it.
   * @throws InvalidRequestError when it is a class that several participants share.
   */
  get(reference: ParticipantReference): ParticipantEntry {
    return entryOf(this.resolve(reference));
  }

  /** @internal */
  resolve(reference: ParticipantReference): RegisteredParticipant {
    const registered = this.references.get(reference);
    if (registered !== undefined) return registered;
    const name = wordsFor(reference);
    if (!this.references.has(reference))
      throw new UnknownParticipantError(name, [...this.participants.keys()]);
    const sharers = this.registered().filter(({ classes }) =>
      (classes as readonly unknown[]).includes(reference),
    );
    throw new InvalidRequestError(
      'participant',
      `is the class ${name}, which is registered as ${sharers.map((sharer) => sharer.name).join(' and ')}: use the name`,
    );
  }

  /**
   * Finds the participant of a branch that must be completed, whether or not the participant is registered.
   *
   * @param address the participant's address in the log. A registered participant does not need it. A
   * stand-in keeps the latest address.
   * @returns the participant of that name, or a stand-in until it is registered.
   * @internal
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
   * Pauses the participant of this name for an operator. The pause also holds for a participant that is
   * registered under this name later.
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
  list(): ParticipantEntry[] {
    return this.registered().map(entryOf);
  }

  /** @internal */
  registered(): RegisteredParticipant[] {
    return [...this.participants.values()];
  }

  /** Gives the participant what was kept while it was awaited under this name. */
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
    this.version++;
    this.references.set(registered.name, registered);
    for (const reference of registered.classes) {
      this.references.set(reference, this.references.has(reference) ? undefined : registered);
    }
  }
}

/** @throws InvalidParticipantError when a method is missing or is not a function. */
function calledAs(
  instance: TransactionParticipant | LastResource,
  className: string,
  { lastResource }: ResolvedParticipantOptions,
): TransactionParticipant {
  if (lastResource) {
    checkLastResource(instance, className);
    return new LastResourceParticipant(instance as LastResource);
  }
  checkMethods(instance as TransactionParticipant, className);
  return instance as TransactionParticipant;
}

/** @returns a description of the reference by which a branch named its participant. */
function wordsFor(reference: unknown): string {
  if (typeof reference === 'string') return shortened(reference, MAX_CODE_LENGTH);
  return typeof reference === 'function'
    ? (textAt(reference, 'name') ?? 'a class')
    : describeAnswer(reference);
}

/** The class of a plain object is Object, which is not a useful name for a participant. */
function isClassOfParticipants(reference: unknown): reference is Type<TransactionParticipant | LastResource> {
  return typeof reference === 'function' && reference !== Object;
}
