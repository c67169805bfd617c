import { runInNewContext } from 'node:vm';
import fc from 'fast-check';

/** A value that user code may hand over, made afresh each time. */
export interface HostileValue {
  readonly label: string;
  readonly make: () => unknown;
}

function refuseToBeRead(): never {
  throw new Error('this cannot be read');
}

/** Answers every access by a throw, also to what it is an instance of. */
function fortress(target: object = {}): object {
  return new Proxy(target, {
    get: refuseToBeRead,
    has: refuseToBeRead,
    getPrototypeOf: refuseToBeRead,
    ownKeys: refuseToBeRead,
    getOwnPropertyDescriptor: refuseToBeRead,
    set: refuseToBeRead,
    defineProperty: refuseToBeRead,
  });
}

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

/** An object whose field says something else each time it is read. */
function fickle(field: string, ...values: readonly unknown[]): object {
  let reads = 0;
  return Object.defineProperty({}, field, {
    enumerable: true,
    get: () => values[Math.min(reads++, values.length - 1)],
  });
}

function unreadable(...fields: string[]): object {
  const object = {};
  for (const field of fields) Object.defineProperty(object, field, { enumerable: true, get: refuseToBeRead });
  return object;
}

function cyclic(): object {
  const one: Record<string, unknown> = { name: 'cyclic' };
  one.self = one;
  one.list = [one];
  return one;
}

function deep(levels: number): object {
  let one: object = {};
  for (let level = 0; level < levels; level++) one = { one };
  return one;
}

const unshowable = (): object => ({
  toString: refuseToBeRead,
  valueOf: refuseToBeRead,
  toJSON: refuseToBeRead,
  [Symbol.toPrimitive]: refuseToBeRead,
});

function error(fields: PropertyDescriptorMap): Error {
  return Object.defineProperties(new Error('hostile'), fields);
}

/** Values that are no promise, and lead to none. */
const PLAIN: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined,
  null: () => null,
  true: () => true,
  NaN: () => NaN,
  'a number': () => -1.5,
  'a bigint': () => 10n ** 30n,
  'a symbol': () => Symbol('commit'),
  'an empty text': () => '',
  COMMIT: () => 'COMMIT',
  'a text with lone surrogates and a nul': () => '\ud800 \u0000 \udfff\u2028',
  'a long text': () => 'x'.repeat(2 ** 18),
  'a boxed vote': () => Object('commit') as unknown,
  'a list with a vote': () => ['commit'],
  'a long sparse list': () => Object.assign([], { length: 2 ** 32 - 1 }),
  'a buffer': () => Buffer.alloc(2 ** 18),
  'a function': () => () => 'commit',
  'a class': () => Map,
  'a date that is none': () => new Date(NaN),
  'an object without a prototype': () => Object.create(null) as unknown,
  'a cyclic object': cyclic,
  'a deep object': () => deep(20_000),
  'a frozen object': () => Object.freeze({ vote: 'commit' }),
  'an object that cannot be shown': unshowable,
  'an object without fields that can be read': () =>
    unreadable('vote', 'code', 'reason', 'kind', 'message', 'name', 'then', 'stack', 'cause'),
  'a refusal whose reason cannot be read': () =>
    Object.defineProperty({ vote: 'abort', code: 'NO' }, 'reason', { get: refuseToBeRead }),
  'a refusal of objects': () => ({ vote: 'abort', code: unshowable(), reason: cyclic() }),
  'a refusal of long texts': () => ({
    vote: 'abort',
    code: 'c'.repeat(2 ** 18),
    reason: 'r'.repeat(2 ** 18),
  }),
  'a vote that changes': () => fickle('vote', 'commit', 'abort', 'commit'),
  'a then that comes later': () =>
    fickle('then', undefined, (resolve: (value: unknown) => void) => resolve('late')),
  'a fortress': () => fortress(),
  'a fortress around a function': () => fortress(() => {}),
  'a revoked Proxy': () => revoked({}),
  'a revoked Proxy of a list': () => revoked([]),
  'a revoked Proxy of a function': () => revoked(() => {}),
};

/** What is thrown, in the main. */
const ERRORS: Readonly<Record<string, () => unknown>> = {
  'an error': () => new Error('plain'),
  'an error of another realm': () => runInNewContext('new TypeError("elsewhere")') as unknown,
  'an error behind a fortress': () => fortress(new Error('inside')),
  'an error whose message is no text': () => error({ message: { value: { deep: cyclic() } } }),
  'an error whose fields cannot be read': () =>
    error({
      message: { get: refuseToBeRead },
      code: { get: refuseToBeRead },
      name: { get: refuseToBeRead },
      stack: { get: refuseToBeRead },
      cause: { get: refuseToBeRead },
    }),
  'an error with a long message': () => new Error('m'.repeat(2 ** 18)),
  'an error that is its own cause': () => {
    const one = new Error('circle');
    one.cause = one;
    return one;
  },
  'an error with a status that is no number': () =>
    Object.assign(new Error('x'), { statusCode: unshowable() }),
  'a heuristic report of no known kind': () =>
    Object.assign(new Error('x'), { code: 'DTC_HEURISTIC', kind: unshowable() }),
  'a heuristic report whose kind changes': () =>
    Object.defineProperty(
      Object.assign(new Error('x'), { code: 'DTC_HEURISTIC' }),
      'kind',
      Object.getOwnPropertyDescriptor(fickle('kind', 'nothing', 'hazard'), 'kind')!,
    ),
  'an aggregate of what cannot be shown': () => new AggregateError([unshowable(), fortress()], 'several'),
};

type Then = (resolve: (value: unknown) => void, reject: (error: unknown) => void) => unknown;

const thenable = (then: Then): object => ({ then });
const circle = thenable((resolve) => resolve(circle));

/** A subclass that lets no further promise be made of it. */
class Underivable extends Promise<unknown> {
  constructor(label: string, executor: ConstructorParameters<typeof Promise>[0]) {
    if (typeof label !== 'string') throw new TypeError('a label is needed');
    super(executor);
  }
}

/** Promises, and what pretends to be one, that lead to a value or to something thrown. */
function leadingTo(value: () => unknown): Readonly<Record<string, () => unknown>> {
  return {
    'a promise of it': async () => value(),
    'a rejection with it': async () => {
      throw value();
    },
    'a promise of it behind a Proxy': () => new Proxy(Promise.resolve('commit'), {}),
    'a promise of it behind a fortress': () => fortress(Promise.resolve('commit')),
    'a revoked promise of it': () => revoked(Promise.resolve()),
    'a promise of it of another realm': () =>
      (runInNewContext('(value) => Promise.resolve().then(value)') as (value: () => unknown) => unknown)(
        value,
      ),
    'a promise of it that nothing can be derived from': () =>
      new Underivable('label', (resolve) => resolve(undefined)),
    'a rejection whose own then throws': () =>
      Object.assign(Promise.reject(value()), { then: refuseToBeRead }),
    'a rejection whose own then does nothing': () =>
      Object.assign(Promise.reject(value()), { then: () => {} }),
    'a rejection whose then cannot be read': () =>
      Object.defineProperty(Promise.reject(value()), 'then', { get: refuseToBeRead }),
    'a promise with a constructor of its own': () =>
      Object.defineProperty(Promise.resolve('commit'), 'constructor', { get: refuseToBeRead }),
    'a thenable that calls back with it': () => thenable((resolve) => resolve(value())),
    'a thenable that calls back later': () =>
      thenable((resolve) => void setImmediate(() => resolve(value()))),
    'a thenable that calls back twice': () =>
      thenable((resolve, reject) => {
        resolve(value());
        reject(new Error('twice'));
        resolve('commit');
      }),
    'a thenable that throws after it has called back': () =>
      thenable((resolve) => {
        resolve(value());
        throw new Error('afterwards');
      }),
    'a thenable that throws it': () =>
      thenable(() => {
        throw value();
      }),
    'a thenable that rejects by itself': () =>
      thenable(async (resolve) => {
        resolve(value());
        throw value();
      }),
    'a thenable that never calls back': () => thenable(() => {}),
    'a thenable that resolves with itself': () => circle,
    'a thenable function': () =>
      Object.assign(() => {}, { then: (resolve: (one: unknown) => void) => resolve(value()) }),
    'a throw of it': () => {
      throw value();
    },
  };
}

function arbitraryOf(makers: Readonly<Record<string, () => unknown>>): fc.Arbitrary<HostileValue> {
  return fc.constantFrom(...Object.entries(makers)).map(([label, make]) => ({ label, make }));
}

/** A value that is no promise: of a payload, an option, a reason, or something thrown. */
export const hostileValues: fc.Arbitrary<HostileValue> = arbitraryOf({ ...PLAIN, ...ERRORS });

/**
 * Something that a function of user code does: it answers at once, later, never or with a throw. `make` may
 * throw.
 */
export const hostileAnswers: fc.Arbitrary<HostileValue> = hostileValues.chain(({ label, make }) =>
  fc.oneof(
    fc.constant({ label, make }),
    arbitraryOf(leadingTo(make)).map((answer) => ({
      label: `${answer.label} (${label})`,
      make: answer.make,
    })),
  ),
);
