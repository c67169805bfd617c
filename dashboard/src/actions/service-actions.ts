import type { CoordinatorView, ParticipantView } from '../api/views.js';
import { plural } from '../words/numbers.js';
import type { Action } from './action.js';

/** @returns pausing a participant, or resuming one that is paused. */
export function actionOfParticipant({ name, paused }: ParticipantView): Action {
  return paused === null ? pause(name) : resume(name);
}

/** @returns draining the coordinator, or taking work again. */
export function actionOfCoordinator(coordinator: CoordinatorView): Action {
  return coordinator.condition.draining ? undrain(coordinator) : drain(coordinator);
}

function pause(name: string): Action {
  return {
    kind: 'pause',
    label: 'Pause',
    title: `Pause ${name}?`,
    target: name,
    consequences: [
      `New transactions that name ${name} are refused, and branches of it that have not voted vote abort.`,
      `What is decided waits for it: no commit or rollback is sent to ${name} until it is resumed, and whatever it has prepared stays locked so long.`,
      'The pause ends when the process does.',
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
      'No new transaction is taken: callers get 503, and readiness turns red so that load balancers send work elsewhere.',
      `What is in flight (${plural(condition.inFlight, 'transaction')}) goes on to its end.`,
    ],
    confirm: 'Drain the coordinator',
    done: 'The coordinator takes no new transactions.',
    path: 'coordinator/drain',
    isFinal: false,
  };
}

function undrain({ name }: CoordinatorView): Action {
  return {
    kind: 'undrain',
    label: 'Take work again',
    title: 'Take new transactions again?',
    target: name,
    consequences: ['New transactions are taken, and readiness turns green.'],
    confirm: 'Take work again',
    done: 'The coordinator takes new transactions.',
    path: 'coordinator/undrain',
    isFinal: false,
  };
}
