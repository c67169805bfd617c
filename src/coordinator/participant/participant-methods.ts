import { InvalidParticipantError } from '../errors.js';
import { textAt } from '../gate/failure.js';
import { describeAnswer, messageOf } from '../gate/texts.js';
import type { TransactionParticipant } from './participant.js';

const REQUIRED_METHODS = ['prepare', 'commit', 'rollback'] as const;
const OPTIONAL_METHODS = [
  'registered',
  'checkPayload',
  'commitOnePhase',
  'claim',
  'recover',
  'endSessionsOf',
  'capacity',
  'inspect',
  'branchStarted',
  'branchEnded',
  'mayJoinGroup',
  'runGroup',
  'rerunGroup',
  'discardGroup',
] as const;
/** The methods of a participant that takes part in groups. */
const GROUP_METHODS = ['runGroup', 'discardGroup'] as const;

/** @throws InvalidParticipantError when a method is missing, is not a function, or cannot be read. */
export function checkMethods(instance: TransactionParticipant, className: string): void {
  for (const method of REQUIRED_METHODS) {
    if (typeof methodOf(instance, method, className) !== 'function') {
      throw new InvalidParticipantError(
        className,
        `it has no method ${method}()`,
        typeof methodOf(instance, 'inquire', className) === 'function'
          ? 'It has a method inquire(): set `lastResource: true` if it cannot prepare.'
          : 'Implement TransactionParticipant: prepare, commit and rollback.',
      );
    }
  }
  for (const method of OPTIONAL_METHODS) {
    const found = methodOf(instance, method, className);
    if (found !== undefined && typeof found !== 'function') {
      throw new InvalidParticipantError(
        className,
        `its ${method} is ${describeAnswer(found)}, not a method`,
        `Make ${method}() a method, or leave it out.`,
      );
    }
  }
  if (methodOf(instance, 'grouped', className) !== true) return;
  for (const method of GROUP_METHODS) {
    if (methodOf(instance, method, className) !== undefined) continue;
    throw new InvalidParticipantError(
      className,
      `it is grouped and has no method ${method}()`,
      'Implement runGroup() and discardGroup(), or leave out `grouped`.',
    );
  }
}

export function methodOf(instance: unknown, method: string, className: string): unknown {
  try {
    return (instance as Readonly<Record<string, unknown>> | undefined)?.[method];
  } catch (error) {
    throw new InvalidParticipantError(
      className,
      `its ${method} cannot be read: ${messageOf(error)}`,
      'Make it a method, not a getter that throws.',
    );
  }
}

/** A class may have a static member called name. */
export function classNameOf(instance: unknown): string {
  return textAt(classOf(instance), 'name') ?? typeof instance;
}

/** @returns undefined for a value that does not show its class. */
export function classOf(instance: unknown): unknown {
  try {
    return (instance as object | undefined)?.constructor;
  } catch {
    return undefined;
  }
}
