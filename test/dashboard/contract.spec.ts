import { describe, expectTypeOf, it } from 'vitest';
import type * as Shown from '../../dashboard/src/api/views.js';
import type { TransactionPage, TransactionView } from '../../src/coordinator/index.js';
import type { Caller } from '../../src/operations/access/access.js';
import type { AuditPage } from '../../src/operations/audit-page.js';
import type { Overview } from '../../src/operations/overview-stream.js';

/** The compiler finds it when the coordinator says something else than the dashboard understands. */
describe('what the coordinator answers', () => {
  it('is what the dashboard shows', () => {
    expectTypeOf<Overview>().toExtend<Shown.Overview>();
    expectTypeOf<TransactionPage>().toExtend<Shown.TransactionPage>();
    expectTypeOf<TransactionView>().toExtend<Shown.TransactionView>();
    expectTypeOf<AuditPage>().toExtend<Shown.AuditPage>();
    expectTypeOf<Caller>().toExtend<Shown.Access>();
  });
});
