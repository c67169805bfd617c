import type { AuditEntry, CommitDecision, DecisionLog, LogClaim } from '../../src/coordinator/index.js';
import { claimOf, tokenOf } from './identity.js';

/**
 * A decision log that is claimed, and of which a test says how it appends and looks up. All else it takes and
 * drops.
 */
export abstract class PartialLog implements DecisionLog {
  open(): LogClaim {
    return claimOf();
  }

  isOwnRun(epoch: number, token: string): boolean {
    return token === tokenOf(epoch);
  }

  abstract append(decision: CommitDecision): void | Promise<void>;

  abstract lookUp(transactionId: string): Promise<'recorded' | 'absent' | 'fenced'>;

  progress(): void {}

  end(_transactionId: string): void | Promise<void> {}

  report(): void {}

  forget(): void {}

  audit(_entry?: AuditEntry): void | Promise<void> {}

  check(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
}
