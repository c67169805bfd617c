import { ParticipantMetadata } from '../coordinator/participant/participant.decorator.js';
import { InvalidRequestError } from '../coordinator/errors.js';
import type { ParticipantOptions } from '../coordinator/participant/participant.options.js';
import type { ParticipantReference } from '../coordinator/participant/branch-request.js';
import { sentPayload } from '../remote/wire/json-payload.js';

/** @returns the name under which the coordinator knows a participant. @throws InvalidRequestError */
export function nameOf(reference: ParticipantReference<never> | ParticipantReference): string {
  if (typeof reference === 'string' && reference !== '') return reference;
  if (typeof reference === 'function') {
    const options = Reflect.getMetadata(ParticipantMetadata.KEY, reference) as ParticipantOptions | undefined;
    if (options !== undefined) return options.name;
  }
  throw new InvalidRequestError(
    'participant',
    'must be the name of a participant, or a class with @Participant: only these are known in another process',
  );
}

/**
 * @returns the payload.
 * @throws InvalidRequestError naming the place that cannot be sent to another process.
 */
export function sendable(payload: unknown, place: string): unknown {
  const sent = sentPayload(payload);
  if ('problem' in sent) throw new InvalidRequestError(sent.path.replace(/^payload/, place), sent.problem);
  return payload ?? null;
}
