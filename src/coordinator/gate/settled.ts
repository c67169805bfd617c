import { types } from 'node:util';

/** The longest chain of thenables that is followed. */
const MAX_DEPTH = 16;

const then = Reflect.get(Promise.prototype, 'then') as Function;
const IGNORE = (): void => {};

/** The end of a call: a value, or an error. */
export type Settled = { readonly value: unknown } | { readonly error: unknown };

/**
 * Whether it is a native promise, which calls back once and later. A Proxy, a subclass, a promise of another
 * realm or with a changed `then` may not. No code of the promise runs to find out, except a getter.
 */
export function isSound(answer: unknown): answer is Promise<unknown> {
  try {
    return (
      types.isPromise(answer) &&
      answer.then === then &&
      answer.constructor === Promise &&
      !Object.hasOwn(answer, 'constructor')
    );
  } catch {
    return false;
  }
}

/**
 * Follows an answer that is a native promise, as {@link isSound} means it, in less time. What only looks like
 * one is found out by the native `then`, which throws before it calls anything back.
 *
 * @returns whether it was one. If not, neither of the callbacks is ever called.
 */
export function followSound(
  answer: unknown,
  fulfilled: (value: unknown) => void,
  rejected: (error: unknown) => void,
): boolean {
  if (typeof answer !== 'object' || answer === null) return false;
  try {
    const promise = answer as Promise<unknown>;
    // The constructor may be another one by the time the native then reads it. The promise that it makes is
    // not used: the callbacks are those of the answer itself. If it throws, neither callback was taken.
    if (promise.constructor !== Promise || promise.then !== then) return false;
    // Reflect.apply() would make an array.
    then.call(promise, fulfilled, rejected);
    return true;
  } catch {
    return false;
  }
}

/**
 * Follows an answer of user code to its end, as `await` does: through promises, thenables, and any value that
 * acts as one.
 *
 * @param fulfilled receives a value that is not a thenable; synchronously, if the answer itself is none.
 * @param rejected receives the error. One of the two callbacks is called, once, or none as long as the answer
 * does not come. No later event of the answer becomes an unhandled rejection.
 */
export function follow(
  answer: unknown,
  fulfilled: (value: unknown) => void,
  rejected: (error: unknown) => void,
  depth = 0,
): void {
  if (isSound(answer)) {
    void answer.then(fulfilled, rejected);
    return;
  }
  let method: unknown;
  try {
    method = thenOf(answer);
  } catch (error) {
    quieten(answer);
    rejected(error);
    return;
  }
  if (typeof method !== 'function') {
    fulfilled(answer);
    return;
  }
  if (depth === MAX_DEPTH) {
    rejected(new Error(`the answer resolves through more than ${MAX_DEPTH} thenables`));
    return;
  }
  // As with await, the code of a thenable runs after the call that has returned it.
  queueMicrotask(() => ask(answer, method, fulfilled, rejected, depth));
}

/** @returns how a call of user code ends, synchronous or not; never a rejection. */
export function settled(call: () => unknown): Promise<Settled> {
  return new Promise((resolve) => {
    // In an object of its own, since a promise that is resolved with a thenable follows it again.
    const rejected = (error: unknown): void => resolve({ error });
    try {
      follow(call(), (value) => resolve({ value }), rejected);
    } catch (error) {
      rejected(error);
    }
  });
}

function ask(
  answer: unknown,
  method: Function,
  fulfilled: (value: unknown) => void,
  rejected: (error: unknown) => void,
  depth: number,
): void {
  let isOver = false;
  const first = (proceed: () => void): void => {
    if (isOver) return;
    isOver = true;
    proceed();
  };
  try {
    const further: unknown = Reflect.apply(method, answer, [
      (value: unknown) => first(() => follow(value, fulfilled, rejected, depth + 1)),
      (error: unknown) => first(() => rejected(error)),
    ]);
    quieten(further);
  } catch (error) {
    first(() => rejected(error));
  }
  quieten(answer);
}

function thenOf(answer: unknown): unknown {
  const isObject = (typeof answer === 'object' && answer !== null) || typeof answer === 'function';
  return isObject ? (answer as { then?: unknown }).then : undefined;
}

/** A promise may be rejected although its own `then` does not observe it. That would end the process. */
function quieten(promise: unknown): void {
  if (!types.isPromise(promise)) return;
  try {
    void Reflect.apply(then, promise, [IGNORE, IGNORE]);
  } catch {
    // Its class allows no further promise to be made of it.
  }
}
