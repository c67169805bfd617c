import { STATES } from '../../api/views.js';

/** The filters of the list. Every field is text, as in the address; empty means all. */
export interface Filters {
  /** How an id, or the value of a key of the business, begins. */
  readonly search: string;
  readonly state: string;
  readonly show: string;
  readonly name: string;
  /** A key of the business and its value, such as `orderId=4711`. */
  readonly attribute: string;
  readonly participant: string;
  /** A part of a reason or of an error. */
  readonly cause: string;
  /** ISO 8601, with a zone. */
  readonly startedAfter: string;
  readonly startedBefore: string;
  /** In milliseconds. */
  readonly minAgeMs: string;
  readonly maxAgeMs: string;
  /** The id of an alarm that counts what is listed. */
  readonly alarm: string;
  /** The id of the group of which the listed ones are. */
  readonly group: string;
  readonly order: string;
}

export const STATE_CHOICES: readonly string[] = STATES;

/** Filters that one word selects. */
export const SHOW_CHOICES = {
  inDoubt: 'in doubt',
  stalled: 'stalled',
  heuristic: 'heuristic',
  groups: 'groups',
} as const;

/** More characters than the coordinator searches for. */
const MAX_TEXT = 300;

/** @returns the filters in an address; unknown values are left out. */
export function filtersIn(query: URLSearchParams): Filters {
  const text = (name: keyof Filters): string => (query.get(name) ?? '').slice(0, MAX_TEXT);
  const one = (name: keyof Filters, isPossible: (value: string) => boolean): string => {
    const value = text(name);
    return isPossible(value) ? value : '';
  };
  return {
    search: text('search'),
    state: one('state', (value) => STATE_CHOICES.includes(value)),
    show: one('show', (value) => Object.hasOwn(SHOW_CHOICES, value)),
    name: text('name'),
    attribute: text('attribute'),
    participant: text('participant'),
    cause: text('cause'),
    startedAfter: one('startedAfter', isMoment),
    startedBefore: one('startedBefore', isMoment),
    minAgeMs: one('minAgeMs', isAge),
    maxAgeMs: one('maxAgeMs', isAge),
    alarm: text('alarm'),
    group: text('group'),
    order: one('order', (value) => value === 'oldest'),
  };
}

/** @returns the active filters, as they appear in an address. */
export function addressOf(filters: Filters): Record<string, string> {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== ''));
}

/** Whether a filter leaves any transaction out. */
export function isFiltered(filters: Filters): boolean {
  return Object.entries(filters).some(([name, value]) => name !== 'order' && value !== '');
}

/** While it is typed, it has no value yet. */
const ATTRIBUTE = /^[A-Za-z][A-Za-z0-9._-]{0,39}=.{1,200}$/;
/** The longest name of a transaction and of a participant. */
const MAX_NAME = 100;

/** @returns the filters as parameters of the operators' interface. */
export function parametersOf(filters: Filters): URLSearchParams {
  const { show, attribute, name, participant } = filters;
  const parameters = new URLSearchParams(
    addressOf({
      ...filters,
      show: '',
      name: name.slice(0, MAX_NAME),
      participant: participant.slice(0, MAX_NAME),
      attribute: ATTRIBUTE.test(attribute) ? attribute : '',
    }),
  );
  if (show !== '') parameters.set(show, 'true');
  return parameters;
}

/** Of the form that the coordinator takes. */
function isMoment(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z$/.test(text) && !Number.isNaN(Date.parse(text));
}

function isAge(text: string): boolean {
  return /^\d{1,12}$/.test(text);
}

/** @returns a moment as the field of a form has it, at the place of the user; empty for none. */
export function fieldOf(moment: string): string {
  if (moment === '') return '';
  const date = new Date(moment);
  const day = [padded(date.getFullYear(), 4), padded(date.getMonth() + 1), padded(date.getDate())].join('-');
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => padded(part)).join(':');
  return `${day}T${time}`;
}

function padded(part: number, digits = 2): string {
  return String(part).padStart(digits, '0');
}

/** @returns the moment that a field of a form has, at the place of the user; empty while it is none. */
export function momentIn(field: string): string {
  const date = new Date(field);
  return field === '' || Number.isNaN(date.getTime()) ? '' : date.toISOString();
}
