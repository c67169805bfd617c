import { OPERATOR_ACTIONS } from './decision-log.ts';

/** The prefixes of the keys: of commit records, heuristic reports, audit entries and starts. */
export const COMMITS = 'commit/';
export const REPORTS = 'report/';
export const AUDITS = 'audit/';
export const STARTS = 'start/';
/** Written to find out whether the log can be written. It holds nothing. */
export const CHECK = 'check';

type Fits = (value: unknown) => boolean;
type Shape = Readonly<Record<string, Fits>>;

const anything: Fits = () => true;
const text: Fits = (value) => typeof value === 'string';
const truth: Fits = (value) => typeof value === 'boolean';
const number: Fits = (value) => typeof value === 'number' && !Number.isNaN(value);
const count: Fits = (value) => Number.isSafeInteger(value) && (value as number) >= 1;
const oneOf = (...values: readonly unknown[]): Fits => {
  const known = new Set(values);
  return (value) => known.has(value);
};
const either =
  (one: Fits, other: Fits): Fits =>
  (value) =>
    one(value) || other(value);
const absentOr = (fits: Fits): Fits => either((value) => value === undefined, fits);
const listOf =
  (fits: Fits): Fits =>
  (value) =>
    Array.isArray(value) && value.every(fits);

/** An object with these properties and no others. */
function objectOf(shape: Shape): Fits {
  const names = Object.keys(shape);
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    for (const name of Object.keys(value)) if (!Object.hasOwn(shape, name)) return false;
    return names.every((name) => shape[name]!((value as Record<string, unknown>)[name]));
  };
}

/** An object whose properties are texts. */
const texts: Fits = (value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(text);

const BRANCH = objectOf({
  branchId: text,
  participant: text,
  address: absentOr(text),
  payload: anything,
  completed: truth,
  expiresAt: absentOr(number),
});

const MEMBER = objectOf({ id: text, name: text });

const DECIDER = either(objectOf({ kind: oneOf('log') }), objectOf({ kind: oneOf('branch'), branchId: text }));

const SHAPES: Readonly<Record<string, Fits>> = {
  [COMMITS]: objectOf({
    id: text,
    name: text,
    decider: absentOr(DECIDER),
    begunAt: absentOr(number),
    decidedAt: absentOr(number),
    branches: listOf(BRANCH),
    attributes: absentOr(texts),
    caller: absentOr(texts),
    members: absentOr(listOf(MEMBER)),
  }),
  [REPORTS]: objectOf({
    id: text,
    name: text,
    decision: oneOf('commit', 'abort'),
    branchId: text,
    participant: text,
    kind: oneOf('commit', 'rollback', 'mixed', 'hazard'),
    reason: text,
  }),
  [AUDITS]: objectOf({
    number: count,
    at: number,
    by: text,
    action: oneOf(...OPERATOR_ACTIONS),
    target: text,
    reason: text,
    detail: either(text, oneOf(null)),
  }),
  [STARTS]: objectOf({ token: text }),
};

/** @returns the prefix of a key, up to its first slash; undefined for a key of no known kind. */
export function kindOf(key: string): string | undefined {
  if (key === CHECK) return CHECK;
  const kind = key.slice(0, key.indexOf('/') + 1);
  return Object.hasOwn(SHAPES, kind) ? kind : undefined;
}

/** Whether a value has the shape of records with such a key. */
export function fitsItsKind(key: string, value: unknown): boolean {
  const kind = kindOf(key);
  return kind !== undefined && kind !== CHECK && SHAPES[kind]!(value);
}
