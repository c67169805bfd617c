import { Inject, Injectable, Logger } from '@nestjs/common';
import type { ResolvedCoordinatorOptions } from '../coordinator.options.js';
import { COORDINATOR_OPTIONS } from '../coordinator.tokens.js';
import { DuplicateParticipantError, InvalidParticipantError, UnknownParticipantError } from '../errors.js';
import type { ParticipantReference } from './branch-request.js';
import { type ParticipantOptions, resolveParticipantOptions } from './participant.options.js';
import type { TransactionParticipant } from './participant.js';
import { RegisteredParticipant } from './registered-participant.js';

const REQUIRED_METHODS = ['prepare', 'commit', 'rollback'] as const;

/**
 * The participants that transactions can name. Those decorated with `@Participant` are registered at start-up;
 * others may come and go at run time.
 *
 * @publicApi
 */
@Injectable()
export class ParticipantRegistry {
  private readonly logger = new Logger(ParticipantRegistry.name);
  private readonly participants = new Map<string, RegisteredParticipant>();
  /** By name and by class: whatever a branch may be named by. */
  private readonly references = new Map<ParticipantReference, RegisteredParticipant>();

  constructor(@Inject(COORDINATOR_OPTIONS) private readonly defaults: ResolvedCoordinatorOptions) {}

  /**
   * Adds a participant.
   *
   * @param options as for `@Participant`.
   * @param aliases further classes by which branches may name it.
   * @throws InvalidParticipantError when a method is missing.
   * @throws DuplicateParticipantError when the name or a class is taken.
   * @throws InvalidOptionsError when an option is unknown or impossible.
   */
  register(
    instance: TransactionParticipant,
    options: ParticipantOptions,
    ...aliases: ParticipantReference[]
  ): RegisteredParticipant {
    const className = instance?.constructor?.name ?? String(instance);
    for (const method of REQUIRED_METHODS) {
      if (typeof instance?.[method] !== 'function') {
        throw new InvalidParticipantError(
          className,
          `it has no method ${method}()`,
          'Implement TransactionParticipant: prepare, commit and rollback.',
        );
      }
    }
    const resolved = resolveParticipantOptions(options, className, this.defaults);
    const taken = this.participants.get(resolved.name);
    if (taken !== undefined) throw new DuplicateParticipantError(resolved.name, className, taken.className);

    const registered = new RegisteredParticipant(instance, className, resolved);
    this.participants.set(resolved.name, registered);
    this.references.set(resolved.name, registered);
    for (const alias of [instance.constructor as ParticipantReference, ...aliases]) {
      // A plain object's class is Object, by which nobody means this participant.
      if (alias !== (Object as unknown) && !this.references.has(alias))
        this.references.set(alias, registered);
    }
    this.logger.log(
      `Participant "${resolved.name}" (${className}): prepare within ${resolved.prepareTimeoutMs} ms, ` +
        `${resolved.maxAttempts} attempts of ${resolved.completionTimeoutMs} ms to complete` +
        (registered.onePhase ? ', one-phase' : ''),
    );
    return registered;
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
    for (const [reference, target] of this.references) {
      if (target === registered) this.references.delete(reference);
    }
    this.logger.log(`Participant "${name}" (${registered.className}) was removed`);
    return true;
  }

  /**
   * @param reference a name or a class.
   * @throws UnknownParticipantError when nobody is registered under it.
   */
  get(reference: ParticipantReference): RegisteredParticipant {
    const registered = this.references.get(reference);
    if (registered !== undefined) return registered;
    const name = typeof reference === 'function' ? reference.name : String(reference);
    throw new UnknownParticipantError(name, [...this.participants.keys()]);
  }

  /** @returns every participant, in the order of registration. */
  list(): RegisteredParticipant[] {
    return [...this.participants.values()];
  }
}
