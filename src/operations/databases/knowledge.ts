import {
  type Decision,
  type KnownOutcome,
  type PreparedTransaction,
  originOf,
} from '../../coordinator/index.js';

/**
 * What the coordinator knows of a prepared transaction: its decision, that there is none yet (`open`), that
 * it cannot be known here (`unknown`), or that it is not its own (`foreign`).
 */
export const KNOWLEDGE = ['commit', 'abort', 'open', 'unknown', 'foreign'] as const;
export type Knowledge = (typeof KNOWLEDGE)[number];

/** A judgement on a prepared transaction, and its reason for people. */
export interface Judgement {
  readonly knowledge: Knowledge;
  readonly why: string;
}

/** The coordinator that judges: its name, and the id of its log. */
export interface Judge {
  readonly name: string;
  readonly logId: string;
}

/**
 * @returns the judgement on a transaction that is not of this log, or undefined for one that has to be looked
 * up.
 */
export function judgeForeign({ branch }: PreparedTransaction, judge: Judge): Judgement | undefined {
  if (branch === null) return { knowledge: 'foreign', why: 'Another program has prepared it.' };
  const origin = originOf(branch.transactionId);
  if (origin === undefined)
    return { knowledge: 'foreign', why: 'Its transaction has no id that a coordinator gives out.' };
  if (origin.name !== judge.name)
    return { knowledge: 'foreign', why: `It belongs to the coordinator "${origin.name}". Look there.` };
  if (origin.logId === judge.logId) return undefined;
  return {
    knowledge: 'unknown',
    why: `It belongs to another decision log of "${origin.name}", with the id ${origin.logId}. Only that log knows its decision.`,
  };
}

/**
 * @param decision the answer to a participant in doubt: `commit` and `abort` are proven, also by presumed
 * abort.
 * @param outcome further knowledge.
 */
export function judgeOwn(decision: Decision, outcome: KnownOutcome): Judgement {
  if (decision === 'commit' || outcome.status === 'committed')
    return { knowledge: 'commit', why: 'Commit is decided.' };
  if (outcome.status === 'aborted') return { knowledge: 'abort', why: 'Abort is decided.' };
  if (decision === 'abort')
    return { knowledge: 'abort', why: 'The log has no commit of it, and never will: it counts as aborted.' };
  switch (outcome.status) {
    case 'pending':
      return { knowledge: 'open', why: 'It is not decided yet, or not known yet. The coordinator goes on.' };
    case 'elsewhere':
      return {
        knowledge: 'unknown',
        why: `The member with epoch ${outcome.owner} owns it, and has not answered.`,
      };
    case 'unknown':
      return { knowledge: 'unknown', why: WHY_UNKNOWN[outcome.because] };
  }
}

const WHY_UNKNOWN: Readonly<Record<(KnownOutcome & { status: 'unknown' })['because'], string>> = {
  purged: 'Its outcome was kept long enough, and is gone.',
  forgotten: 'This coordinator does not know it, and may not presume abort now.',
  undecidable: 'The log may have lost its decision: see DtcUndecidableBranches in the runbook.',
  foreign: 'The log has not given out its epoch: see DtcUndecidableBranches in the runbook.',
  'log-unavailable': 'The decision log does not answer.',
};

/** @returns the only statement that agrees with the decision; null while none is known. */
export function statementFor({ statements }: PreparedTransaction, knowledge: Knowledge): string | null {
  if (statements === null) return null;
  if (knowledge === 'commit') return statements.commit;
  return knowledge === 'abort' ? statements.rollback : null;
}
