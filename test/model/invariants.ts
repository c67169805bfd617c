import { State, Told, isAbort, isCommit, isDecidedByBranch } from '../../src/coordinator/protocol/index.js';
import { Violation } from './search.js';
import type { World } from './world.js';

/**
 * What holds in every state. AC1 to AC3 are the conditions of atomic commitment: Bernstein, Hadzilacos and
 * Goodman, "Concurrency Control and Recovery in Database Systems", section 7.3. AC2 also holds step by step:
 * see world-model.ts.
 */
export function checkWorld(w: World): void {
  const { first, all, prepared, readOnly, refused, committed, rolledBack, told, asked } = w;
  const canCommit = prepared | committed | readOnly;
  must(committed === 0 || (rolledBack | refused) === 0, 'AC1: all participants that decide, decide the same');
  must(committed === 0 || (all & ~canCommit) === 0, 'AC3: commit only if every participant voted for it');
  must(w.commits === 0 || w.recorded, 'rule 1: the decision is in the log before the first commit leaves');
  must(
    !(w.ended || w.ending) || (all & ~(committed | readOnly)) === 0,
    'M8: the end is recorded only after every acknowledgement',
  );
  must(
    told !== Told.COMMITTED || ((all & ~canCommit) === 0 && (prepared === 0 || w.hasRecord)),
    'told committed: every participant has committed or will',
  );
  must(
    told !== Told.ABORTED || (committed === 0 && w.commits === 0 && !w.willRecord && !w.recorded),
    'told aborted: no participant has committed or will',
  );
  must(
    asked !== Told.COMMITTED || ((all & ~canCommit) === 0 && (prepared === 0 || w.hasRecord)),
    'another member answered committed: every participant has committed or will',
  );
  must(
    asked !== Told.ABORTED || (committed === 0 && w.commits === 0 && !w.willRecord && !w.recorded),
    'another member answered aborted: no participant has committed or will',
  );
  // The outcome of a commit that changed nothing is not the business of the core.
  must(
    !(told === Told.COMMITTED && asked === Told.ABORTED) || (all & ~readOnly) === 0,
    'another member answered otherwise than the caller was told',
  );
  must(
    !(told === Told.ABORTED && asked === Told.COMMITTED),
    'another member answered otherwise than the caller was told',
  );
  must(told !== Told.HEURISTIC, 'no participant ends against the decision here, so no caller is told so');
  if (w.crashed) return;
  must(
    first.state !== State.ABORTED || (first.open | first.awaiting) !== 0 || prepared === 0,
    'M6: after an abort that has ended nothing is left prepared',
  );
  must(
    !isCommit(first.state) || (rolledBack | refused) === 0,
    'AC1: decided commit, no participant has aborted',
  );
  must(
    !isAbort(first.state) || (committed === 0 && !w.recorded && !w.willRecord),
    'AC1: decided abort, no participant commits',
  );
  must(
    !isCommit(first.state) || isDecidedByBranch(first) || first.yes === 0 || w.recorded,
    'M1: decided commit, and the record is there',
  );
  must(
    first.state !== State.READY || isDecidedByBranch(first) || first.awaiting === 0,
    'the voting is over in READY',
  );
  must(!first.rollbackOnly || !isCommit(first.state), 'what the caller ruled out is never committed');
  must((first.against | first.mixed | first.hazard) === 0, 'no participant reported a heuristic end');
}

function must(holds: boolean, rule: string): void {
  if (!holds) throw new Violation(rule);
}
