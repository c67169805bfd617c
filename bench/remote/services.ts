import type { Type } from '@nestjs/common';
import type { TransactionParticipant } from '../../src/coordinator/index.js';
import { First, Second, Third, type Work } from '../memory/participants.js';

/** The three services, each in a process of its own. */
export const SERVICE_NAMES = ['first', 'second', 'third'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** How to reach a service: as a participant of a coordinator, or by bare requests. */
export const SERVICE_KINDS = ['participant', 'bare'] as const;
export type ServiceKind = (typeof SERVICE_KINDS)[number];

/** The addresses of the services: their URLs over HTTP, otherwise their ports or that of the broker. */
export type Addresses = Readonly<Record<ServiceName, string>>;

/** The name of the messages and of the queue of one service. */
export function patternOf(kind: ServiceKind, name: ServiceName): string {
  return `${kind}.${name}`;
}

/** Both contenders send it. The bare services ignore it. */
export const TOKEN = 'the-token-of-the-benchmark';

export const CLASSES: Readonly<Record<ServiceName, Type<TransactionParticipant<Work>>>> = {
  first: First,
  second: Second,
  third: Third,
};
