import { STATES } from '../../api/views.js';

/** The filters of the list. Every field is text, as in the address; empty means all. */
export interface Filters {
  readonly state: string;
  readonly show: string;
  readonly name: string;
  /** A key of the business and its value, such as `orderId=4711`. */
  readonly attribute: string;
  readonly participant: string;
  /** The id of an alarm that counts what is listed. */
  readonly alarm: string;
  readonly order: string;
}

export const STATE_CHOICES: readonly string[] = STATES;

/** Filters that one word selects. */
export const SHOW_CHOICES = { inDoubt: 'in doubt', stalled: 'stalled', heuristic: 'heuristic' } as const;

/** @returns the filters in an address; unknown values are left out. */
export function filtersIn(query: URLSearchParams): Filters {
  const state = query.get('state') ?? '';
  const show = query.get('show') ?? '';
  return {
    state: STATE_CHOICES.includes(state) ? state : '',
    show: Object.hasOwn(SHOW_CHOICES, show) ? show : '',
    name: query.get('name') ?? '',
    attribute: query.get('attribute') ?? '',
    participant: query.get('participant') ?? '',
    alarm: query.get('alarm') ?? '',
    order: query.get('order') === 'oldest' ? 'oldest' : '',
  };
}

/** @returns the active filters, as they appear in an address. */
export function addressOf(filters: Filters): Record<string, string> {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== ''));
}

/** While it is typed, it has no value yet. */
const ATTRIBUTE = /^[A-Za-z][A-Za-z0-9._-]{0,39}=.{1,200}$/;

/** @returns the filters as parameters of the operators' interface. */
export function parametersOf({ show, attribute, ...others }: Filters): URLSearchParams {
  const isWhole = ATTRIBUTE.test(attribute);
  const parameters = new URLSearchParams(
    addressOf({ ...others, attribute: isWhole ? attribute : '', show: '' }),
  );
  if (show !== '') parameters.set(show, 'true');
  return parameters;
}
