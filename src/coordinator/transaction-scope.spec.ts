import { describe, expect, it } from 'vitest';
import { TransactionScope } from './transaction-scope.js';

describe('The scope of a decorated method', () => {
  it('is entered within its work, and neither before it nor after it', async () => {
    const scope = new TransactionScope<object>();
    const transaction = {};
    expect(scope.isEntered).toBe(false);
    await scope.enclose(transaction, async () => {
      await Promise.resolve();
      expect(scope.isEntered).toBe(true);
      expect(scope.enclosing).toBe(transaction);
    });
    expect(scope.isEntered).toBe(false);
  });

  it('is entered within code from which a transaction is hidden', () => {
    const scope = new TransactionScope<object>();
    const transaction = {};
    scope.hide(transaction, () => {
      expect(scope.isEntered).toBe(true);
      expect(scope.hides(transaction)).toBe(true);
      scope.leave(() => expect(scope.isEntered).toBe(false));
    });
    expect(scope.isEntered).toBe(false);
  });
});
