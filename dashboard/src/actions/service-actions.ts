import type { CoordinatorView, MemberNow, ParticipantView } from '../api/views.js';
import { plural } from '../words/numbers.js';
import type { Action } from './action.js';

/** @returns the action that pauses a participant, or resumes a paused one. */
export function actionOfParticipant({ name, paused }: ParticipantView): Action {
  return paused === null ? pause(name) : resume(name);
}

/** @returns the action that drains the coordinator, or undrains it. */
export function actionOfCoordinator(coordinator: CoordinatorView): Action {
  return coordinator.condition.draining ? undrain(coordinator) : drain(coordinator);
}

/** @returns the action that drains one member, or undrains it. */
export function actionOfMember(member: MemberNow): Action {
  const { epoch, condition } = member;
  const name = member.member === '' ? `the member with epoch ${epoch}` : member.member;
  const isDraining = condition?.draining ?? member.draining;
  return { ...(isDraining ? undrainMember(name) : drainMember(name, condition?.inFlight)), member: epoch };
}

function drainMember(name: string, inFlight: number | undefined): Action {
  const running = inFlight === undefined ? '' : ` (${plural(inFlight, 'transaction')})`;
  return {
    kind: 'drain',
    label: 'Drain',
    title: 'Drain this member?',
    target: name,
    consequences: [
      'It admits no new transaction: its callers get 503, and its readiness check fails, so that load balancers send work to the other members.',
      `Its running transactions${running} continue to their end. The other members are not changed.`,
    ],
    confirm: `Drain ${name}`,
    done: `${name} admits no new transactions.`,
    path: 'coordinator/drain',
    isFinal: false,
  };
}

function undrainMember(name: string): Action {
  return {
    kind: 'undrain',
    label: 'Admit work again',
    title: 'Let this member admit new transactions again?',
    target: name,
    consequences: ['It admits new transactions, and its readiness check passes.'],
    confirm: 'Admit work again',
    done: `${name} admits new transactions.`,
    path: 'coordinator/undrain',
    isFinal: false,
  };
}

function pause(name: string): Action {
  return {
    kind: 'pause',
    label: 'Pause',
    title: `Pause ${name}?`,
    target: name,
    consequences: [
      `New transactions that name ${name} are refused, and its branches that have not voted vote abort.`,
      `Decisions wait for it: no commit or rollback is sent to ${name} until it is resumed. Its prepared branches stay locked until then.`,
      'The pause ends with the process.',
    ],
    confirm: `Pause ${name}`,
    done: `${name} is paused.`,
    path: `participants/${encodeURIComponent(name)}/pause`,
    isFinal: false,
  };
}

function resume(name: string): Action {
  return {
    kind: 'resume',
    label: 'Resume',
    title: `Resume ${name}?`,
    target: name,
    consequences: [
      `Transactions may name ${name} again.`,
      'Every commit and rollback that waited for it is sent now.',
    ],
    confirm: `Resume ${name}`,
    done: `${name} is resumed.`,
    path: `participants/${encodeURIComponent(name)}/resume`,
    isFinal: false,
  };
}

function drain({ name, condition }: CoordinatorView): Action {
  return {
    kind: 'drain',
    label: 'Drain',
    title: 'Drain this coordinator?',
    target: name,
    consequences: [
      'No new transaction is admitted: callers get 503, and the readiness check fails, so that load balancers send work elsewhere.',
      `Running transactions (${plural(condition.inFlight, 'transaction')}) continue to their end.`,
    ],
    confirm: 'Drain the coordinator',
    done: 'The coordinator admits no new transactions.',
    path: 'coordinator/drain',
    isFinal: false,
  };
}

function undrain({ name }: CoordinatorView): Action {
  return {
    kind: 'undrain',
    label: 'Admit work again',
    title: 'Admit new transactions again?',
    target: name,
    consequences: ['New transactions are admitted, and the readiness check passes.'],
    confirm: 'Admit work again',
    done: 'The coordinator admits new transactions.',
    path: 'coordinator/undrain',
    isFinal: false,
  };
}
