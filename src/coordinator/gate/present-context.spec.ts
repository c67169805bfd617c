import { AsyncLocalStorage } from 'node:async_hooks';
import { expect, it } from 'vitest';
import { presentContext } from './present-context.js';

it('runs work in the context in which it was made, and leaves that again', () => {
  const caller = new AsyncLocalStorage<string>();
  const inContext = caller.run('first', presentContext);
  const seen: (string | undefined)[] = [];
  const look = (): void => void seen.push(caller.getStore());
  caller.run('second', () => {
    inContext(look);
    look();
  });
  inContext(look);
  look();
  expect(seen).toEqual(['first', 'second', 'first', undefined]);
});

it('throws what the work throws', () => {
  const inContext = presentContext();
  expect(() =>
    inContext(() => {
      throw new Error('broken');
    }),
  ).toThrow('broken');
});
