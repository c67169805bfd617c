import { Injectable, Logger } from '@nestjs/common';
import type { OperatorOrder } from '../coordinator/index.js';
import type { GroupResult, GroupTarget } from './group-result.js';
import { AnyMember } from './members/any-member.js';
import type { TransactionAction } from './members/member-call.js';
import { problemOf } from './problem/problem.js';
import type { GroupBody } from './request.schemas.js';

/** The most orders of one request that are carried out at the same time. A member takes some more, so that others can look meanwhile. */
const AT_ONCE = 4;
/** Later no further order is begun, in milliseconds. The last ones may take as long again, and a client waits for them. */
const WITHIN_MS = 10_000;
/** While it holds no order can be recorded, so the others are not tried. */
const NOT_RECORDED = 'DTC_LOG_UNAVAILABLE';

/**
 * Carries out one order for many targets. Each is checked, recorded and carried out as if it had been ordered alone, so that one
 * that is refused keeps no other back.
 */
@Injectable()
export class GroupActions {
  private readonly logger = new Logger('Operator');

  constructor(private readonly anyMember: AnyMember) {}

  /** @returns the result of each order; it never rejects. */
  async act({ targets, ...what }: Omit<GroupBody, 'reason'>, order: OperatorOrder): Promise<GroupResult> {
    const endAt = performance.now() + WITHIN_MS;
    const waiting = [...targets];
    const refusals = new Map<
      string,
      { code: string; detail: string; count: number; targets: GroupTarget[] }
    >();
    let done = 0;
    let isOver = false;
    const work = async (): Promise<void> => {
      for (;;) {
        if (isOver || performance.now() >= endAt) return;
        const target = waiting.shift();
        if (target === undefined) return;
        try {
          await this.anyMember.actOn(actionAt(target, what, order));
          done++;
        } catch (error) {
          const { code, detail } = this.problemIn(error);
          isOver ||= code === NOT_RECORDED;
          const refusal = refusals.get(code);
          if (refusal === undefined) refusals.set(code, { code, detail, count: 1, targets: [target] });
          else {
            refusal.count++;
            refusal.targets.push(target);
          }
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, targets.length) }, work));
    return { done, refused: [...refusals.values()], notTried: waiting };
  }

  private problemIn(error: unknown): { readonly code: string; readonly detail: string } {
    const problem = problemOf(error);
    // The text of an unexpected error is for the log alone, as that of every route.
    if (problem.status === 500) this.logger.error(error instanceof Error ? error.stack : error);
    return problem;
  }
}

function actionAt(
  { transactionId, branchId }: GroupTarget,
  { action, as, alarm }: Omit<GroupBody, 'reason' | 'targets'>,
  order: OperatorOrder,
): TransactionAction {
  const common = { transactionId, ...order, ...(alarm !== undefined && { alarm }) };
  switch (action) {
    case 'abort':
      return { kind: action, ...common };
    case 'forget':
      return branchId === undefined
        ? { kind: action, ...common }
        : { kind: 'forget-report', branchId, ...common };
    case 'retry':
      return { kind: action, branchId: branchId!, ...common };
    case 'resolve':
      return { kind: action, branchId: branchId!, as: as!, ...common };
  }
}
