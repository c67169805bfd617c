import { types } from 'node:util';

/** How many answers may lead to each other before the last is given up. */
const MAX_DEPTH = 16;

const then = Reflect.get(Promise.prototype, 'then') as Function;
const IGNORE = (): void => {};

/** How a call has ended: with a value, or with what was thrown. */
export type Settled = { readonly value: unknown } | { readonly error: unknown };

/**
 * Whether it is a promise of the language, that calls back once, and not at once. A Proxy, a subclass, one of another
 * realm and one whose `then` was changed may not. No code of the promise is run to find out, unless it is a getter.
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
 * Takes an answer of user code to where it leads, as `await` does: through promises, thenables, and whatever says that it is
 * one.
 *
 * @param fulfilled gets what is no thenable; at once, when the answer itself is none.
 * @param rejected gets what was thrown on the way. Of both callbacks one is called, once, or none as long as the answer does
 * not come; and nothing that happens to the answer afterwards is an unhandled rejection.
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
    rejected(new Error(`the answer leads through more than ${MAX_DEPTH} thenables`));
    return;
  }
  // As for await: what the thenable does when it is asked comes after the call that has returned it.
  queueMicrotask(() => ask(answer, method, fulfilled, rejected, depth));
}

/** @returns how a call of user code ends, at once or later; never a rejection. */
export function settled(call: () => unknown): Promise<Settled> {
  return new Promise((resolve) => {
    // In an object of its own, since a promise that is resolved with a thenable follows it once more.
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

/** A promise that its own `then` does not listen to may be rejected, and would end the process. */
function quieten(promise: unknown): void {
  if (!types.isPromise(promise)) return;
  try {
    void Reflect.apply(then, promise, [IGNORE, IGNORE]);
  } catch {
    // Its class lets no further promise be made of it.
  }
}
