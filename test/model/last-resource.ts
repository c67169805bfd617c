import {
  type BranchSet,
  Branches,
  Cause,
  Decider,
  PROTOCOL_FIELDS,
  type ProtocolEffects,
  ProtocolTransaction,
  State,
  Told,
  Voted,
  acknowledged,
  awaitsConfirmation,
  awaitsRecord,
  completionRound,
  confirmed,
  copyProtocolState,
  deadlinePassed,
  enlist,
  enlistLastResource,
  firstBranches,
  includes,
  isAbort,
  onePhaseAnswered,
  only,
  recordAbsent,
  recorded,
  requestCommit,
  requestRollback,
  restoreCommitted,
  restoreDecider,
  vote,
} from '../../src/coordinator/protocol/index.js';
import { type Model, type Step, Violation } from './search.js';

/** What is wrong on purpose, each with the rule that it breaks. */
export const LAST_RESOURCE_DEFECTS = {
  'the last resource is called before the record is there': 'M1',
  'not found is taken for never': 'never fences',
  'an inquiry without an answer is taken for never': 'unknown is no answer',
  'the others commit before the log has the commit': 'rule 1',
  'the owner presumes abort although a record names the branch': 'M1',
  'the call is made again instead of the inquiry': 'commit is called once',
  'an inquiry takes a record that names the branch for none': 'fault 30',
} as const;

export type LastResourceDefect = keyof typeof LAST_RESOURCE_DEFECTS;

/** The search and Spin find the same. */
export const LAST_RESOURCE_STATES = 2_053;

const VOTERS = 2;
const LAST = VOTERS;
const ALL_VOTERS = firstBranches(VOTERS);

/** What the log holds. */
const NOTHING = 0;
const NAMED = 1;
const DECIDED = 2;
const OVER = 3;

/** How the key is at the resource. */
const FREE = 0;
const DONE = 1;
const NEVER = 2;

/** The adopter: not there, found nothing, or drives what it found. */
const DOWN = 0;
const PRESUMES = 1;
const DRIVES = 2;

/** One transaction of two voters and a last resource, its coordinator C0, and C1, which may take over. */
export class LastResourceWorld {
  /** C0 and C1, both with the real core. */
  readonly coordinators = [new ProtocolTransaction(), new ProtocolTransaction()] as const;
  crashed = 0;
  adopter = DOWN;
  /** C1 has claimed the log, so that C0 can write nothing more. */
  fenced = 0;
  appending = 0;
  /** The commit that this coordinator wants to make durable is on its way to the log. */
  confirming: BranchSet = Branches.NONE;
  log = NOTHING;
  resource = FREE;
  /** Calls of the resource's commit that may still arrive. */
  calls = 0;
  /** Whether C0 has called it, and so may hear an answer. */
  called = 0;
  prepared: BranchSet = Branches.NONE;
  committed: BranchSet = Branches.NONE;
  rolledBack: BranchSet = Branches.NONE;
  /** Rollbacks and commits on their way to voters. */
  rollbacks: BranchSet = Branches.NONE;
  commits: BranchSet = Branches.NONE;
}

const NUMBERS = [
  'crashed',
  'adopter',
  'fenced',
  'appending',
  'confirming',
  'log',
  'resource',
  'calls',
  'called',
  'prepared',
  'committed',
  'rolledBack',
  'rollbacks',
  'commits',
] as const satisfies readonly (keyof LastResourceWorld)[];

class Effects implements ProtocolEffects<ProtocolTransaction> {
  constructor(
    private readonly w: LastResourceWorld,
    private readonly number: 0 | 1,
    private readonly defect: LastResourceDefect | undefined,
  ) {}

  entered(): void {}
  prepare(): void {}
  cancel(): void {}
  stalled(): void {}
  tell(): void {}

  record(transaction: ProtocolTransaction): void {
    this.w.appending = 1;
    if (this.defect === 'the last resource is called before the record is there') recorded(transaction, this);
  }

  commitOnePhase(): void {
    this.w.calls = 1;
    this.w.called = 1;
  }

  confirm(transaction: ProtocolTransaction): void {
    this.w.confirming |= only(this.number);
    if (this.defect === 'the others commit before the log has the commit') confirmed(transaction, this);
  }

  commit(_: ProtocolTransaction, branches: BranchSet): void {
    this.w.commits |= branches;
  }

  rollback(_: ProtocolTransaction, branches: BranchSet): void {
    if (includes(branches, LAST)) throw new Violation('a last resource is rolled back');
    this.w.rollbacks |= branches;
  }

  ended({ state }: ProtocolTransaction): void {
    if (this.w.log !== NOTHING && (state === State.COMMITTED || state === State.ABORTED)) this.w.log = OVER;
  }
}

/** @returns every order of events around one transaction with a last resource. */
export function lastResourceModel(defect?: LastResourceDefect): Model<LastResourceWorld> {
  const effects = (w: LastResourceWorld, number: 0 | 1): Effects => new Effects(w, number, defect);
  const steps: Step<LastResourceWorld>[] = [];
  const add = (
    name: string,
    heals: boolean,
    when: Step<LastResourceWorld>['when'],
    take: Step<LastResourceWorld>['take'],
  ) => void steps.push({ name, heals, when, take });
  const lives = ({ crashed }: LastResourceWorld): boolean => crashed === 0;

  add('C0: commit is asked for', false, lives, (w) =>
    requestCommit(w.coordinators[0], Decider.LOG, effects(w, 0)),
  );
  add('C0: rollback is asked for', false, lives, (w) => {
    requestRollback(w.coordinators[0], Cause.ROLLED_BACK, effects(w, 0));
  });
  add('C0: the deadline passes', false, lives, (w) => deadlinePassed(w.coordinators[0], effects(w, 0)));
  add('C0 crashes', false, lives, (w) => {
    w.crashed = 1;
    copyProtocolState(new ProtocolTransaction(), w.coordinators[0]);
  });
  for (let p = 0; p < VOTERS; p++) {
    const bit = only(p);
    const isAsked = (w: LastResourceWorld): boolean => lives(w) && includes(w.coordinators[0].awaiting, p);
    add(`C0: branch ${p} prepares, and votes commit`, false, isAsked, (w) => {
      if ((w.rolledBack & bit) === 0) w.prepared |= bit;
      vote(w.coordinators[0], p, (w.rolledBack & bit) === 0 ? Voted.COMMIT : Voted.ABORT, effects(w, 0));
    });
    add(
      `C0: branch ${p} refuses`,
      true,
      (w) => isAsked(w) && !includes(w.prepared, p),
      (w) => vote(w.coordinators[0], p, Voted.ABORT, effects(w, 0)),
    );
    add(`C0: branch ${p} prepares, and its vote is lost`, false, isAsked, (w) => {
      if ((w.rolledBack & bit) === 0) w.prepared |= bit;
      vote(w.coordinators[0], p, Voted.NONE, effects(w, 0));
    });
    add(
      `branch ${p} commits`,
      true,
      (w) => includes(w.commits, p),
      (w) => {
        if (includes(w.rolledBack, p))
          throw new Violation('AC1: a branch that is rolled back is told to commit');
        w.prepared &= ~bit;
        w.committed |= bit;
      },
    );
    add(
      `branch ${p} rolls back`,
      true,
      (w) => includes(w.rollbacks, p),
      (w) => {
        if (includes(w.committed, p))
          throw new Violation('AC1: a branch that has committed is told to roll back');
        w.prepared &= ~bit;
        w.rolledBack |= bit;
      },
    );
    for (const number of [0, 1] as const) {
      const isOver = (w: LastResourceWorld): boolean => includes(w.committed | w.rolledBack, p);
      add(
        `C${number}: branch ${p} acknowledges`,
        true,
        (w) => drives(w, number) && isOver(w),
        (w) => {
          const transaction = w.coordinators[number];
          acknowledged(transaction, p, completionRound(transaction, p), effects(w, number));
        },
      );
    }
    add(
      `C1: branch ${p} is listed, or inquires`,
      true,
      (w) => w.adopter === PRESUMES && includes(w.prepared, p),
      (w) => void (w.rollbacks |= bit),
    );
    add(
      `branch ${p} inquires of any member, which answers from the log`,
      true,
      (w) => includes(w.prepared, p),
      (w) => {
        const most = defect === 'an inquiry takes a record that names the branch for none' ? NAMED : NOTHING;
        if (w.log === DECIDED) w.commits |= bit;
        else if (w.fenced === 1 && w.log <= most) w.rollbacks |= bit;
      },
    );
  }

  add('the record that names the branch reaches the log', true, canAppend, (w) => void (w.log = NAMED));
  add(
    'C0: hears that the record is there',
    true,
    (w) => lives(w) && w.log !== NOTHING,
    (w) => recorded(w.coordinators[0], effects(w, 0)),
  );
  add(
    'C0: finds out that the record is absent, and never will be there',
    true,
    (w) => lives(w) && isUnrecorded(w),
    (w) => {
      w.appending = 0;
      recordAbsent(w.coordinators[0], effects(w, 0));
    },
  );
  add(
    'the call reaches the resource, which commits',
    true,
    (w) => w.calls === 1,
    (w) => {
      w.calls = 0;
      if (w.resource === FREE) w.resource = DONE;
    },
  );
  add(
    'the call reaches the resource, which refuses',
    false,
    (w) => w.calls === 1,
    (w) => {
      w.calls = 0;
      if (w.resource === FREE) w.resource = NEVER;
    },
  );
  add(
    'C0: hears the answer to its call',
    true,
    (w) => lives(w) && w.called === 1 && w.calls === 0 && w.resource !== FREE,
    (w) => heard(w, 0),
  );
  for (const number of [0, 1] as const) {
    add(
      `C${number}: inquires, and hears how the branch has ended`,
      true,
      (w) => mayInquire(w, number),
      (w) => {
        if (defect === 'the call is made again instead of the inquiry') {
          // The key of the first call may be forgotten: what it has done, a second call does again.
          if (w.resource === DONE) throw new Violation('the work is done twice');
          w.resource = DONE;
        } else if (w.resource === FREE && defect === 'not found is taken for never') {
          onePhaseAnswered(w.coordinators[number], 'rollback', effects(w, number));
          return;
        } else if (w.resource === FREE) w.resource = NEVER;
        heard(w, number);
      },
    );
    if (defect === 'an inquiry without an answer is taken for never') {
      add(
        `C${number}: inquires, and hears nothing`,
        false,
        (w) => mayInquire(w, number),
        (w) => onePhaseAnswered(w.coordinators[number], 'rollback', effects(w, number)),
      );
    }
    add(
      `the commit that C${number} knows of reaches the log`,
      true,
      (w) => includes(w.confirming, number) && (number === 1 || w.fenced === 0) && w.log === NAMED,
      (w) => void (w.log = DECIDED),
    );
    add(
      `C${number}: hears that the commit is in the log`,
      true,
      (w) => drives(w, number) && awaitsConfirmation(w.coordinators[number]) && w.log >= DECIDED,
      (w) => confirmed(w.coordinators[number], effects(w, number)),
    );
  }
  add(
    'C1 claims, then reads the log',
    true,
    (w) => w.adopter === DOWN,
    (w) => {
      w.fenced = 1;
      takeUp(w, defect);
    },
  );
  add(
    'C1 crashes',
    false,
    (w) => w.adopter !== DOWN,
    (w) => {
      w.adopter = DOWN;
      w.confirming &= ~only(1);
      copyProtocolState(new ProtocolTransaction(), w.coordinators[1]);
    },
  );

  function heard(w: LastResourceWorld, number: 0 | 1): void {
    onePhaseAnswered(w.coordinators[number], w.resource === DONE ? 'commit' : 'rollback', effects(w, number));
  }
  return { ...STORED, steps, check, isDecided };
}

function drives({ crashed, adopter }: LastResourceWorld, number: 0 | 1): boolean {
  return number === 0 ? crashed === 0 : adopter === DRIVES;
}

function mayInquire(w: LastResourceWorld, number: 0 | 1): boolean {
  const transaction = w.coordinators[number];
  return drives(w, number) && transaction.state === State.READY && transaction.awaiting === only(LAST);
}

function canAppend({ appending, fenced, log }: LastResourceWorld): boolean {
  return appending === 1 && fenced === 0 && log === NOTHING;
}

function isUnrecorded(w: LastResourceWorld): boolean {
  return w.log === NOTHING && w.fenced === 0 && awaitsRecord(w.coordinators[0]);
}

function takeUp(w: LastResourceWorld, defect: LastResourceDefect | undefined): void {
  const [, second] = w.coordinators;
  const presumes =
    defect === 'the owner presumes abort although a record names the branch' && w.log === NAMED;
  if (w.log === NOTHING || presumes) {
    w.adopter = PRESUMES;
    return;
  }
  w.adopter = DRIVES;
  if (w.log === NAMED) restoreDecider(second, VOTERS + 1, LAST);
  // What is over has no voter that is still prepared.
  else restoreCommitted(second, VOTERS, ALL_VOTERS, w.log === OVER ? Branches.NONE : ALL_VOTERS);
  if (w.log === DECIDED) w.commits |= ALL_VOTERS;
}

function check(w: LastResourceWorld): void {
  const [first] = w.coordinators;
  const { told } = first;
  must(
    w.committed === 0 || w.resource === DONE,
    'AC1: a voter commits only if the last resource has committed',
  );
  must(
    w.rolledBack === 0 || w.resource !== DONE,
    'AC1: no voter is rolled back if the last resource has committed',
  );
  must(
    w.commits === 0 || w.log >= DECIDED,
    'rule 1: the commit is in the log before another branch learns of it',
  );
  must(w.resource !== DONE || w.log >= NAMED, 'M1: the record precedes the call');
  must(told !== Told.COMMITTED || w.resource === DONE, 'told committed: it is');
  must(
    told !== Told.ABORTED || (w.resource !== DONE && (w.calls === 0 || w.resource === NEVER)),
    'told aborted: it is',
  );
  must(
    !isAbort(first.state) || w.resource !== DONE,
    'AC1: decided abort, and the last resource has committed',
  );
}

function must(holds: boolean, rule: string): void {
  if (!holds) throw new Violation(rule);
}

/** AC5: no voter is in doubt, and nothing could still make it so. */
function isDecided(w: LastResourceWorld): boolean {
  return w.prepared === 0 && w.coordinators[0].awaiting === 0 && w.calls === 0;
}

/** The cause of an abort is not part of a state: no rule here reads it. */
const FIELDS = PROTOCOL_FIELDS.filter((field) => field !== 'cause' && field !== 'causeBranch');
const WIDTH = NUMBERS.length + 2 * FIELDS.length;

const STORED: Omit<Model<LastResourceWorld>, 'steps' | 'check' | 'isDecided'> = {
  width: WIDTH,
  create: () => {
    const w = new LastResourceWorld();
    for (let p = 0; p < VOTERS; p++) enlist(w.coordinators[0]);
    enlistLastResource(w.coordinators[0]);
    return w;
  },
  pack: (w, words, at) => {
    let place = at;
    for (const name of NUMBERS) words[place++] = w[name];
    for (const transaction of w.coordinators)
      for (const field of FIELDS) words[place++] = Number(transaction[field]);
  },
  unpack: (words, at, w) => {
    let place = at;
    for (const name of NUMBERS) w[name] = words[place++]!;
    for (const transaction of w.coordinators) {
      const fields = transaction as unknown as Record<string, unknown>;
      for (const field of FIELDS) {
        const value = words[place++]!;
        fields[field] = typeof fields[field] === 'boolean' ? value === 1 : value;
      }
    }
  },
  canonicalise: () => 1,
};
