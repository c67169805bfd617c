import {
  type BranchSet,
  type ProtocolEffects,
  type ProtocolTransaction,
  State,
  Told,
  acknowledged,
  includes,
  presume,
  restoreCommitted,
} from '../../src/coordinator/protocol/index.js';
import { type Step, Violation } from './search.js';
import {
  type Adopter,
  CLAIM_SECOND,
  DOWN,
  FENCED,
  PRESUMING,
  READ_TOO_EARLY,
  RESTORED,
  type World,
  type WorldOptions,
} from './world.js';

/**
 * A restored transaction only waits for acknowledgements: of all effects the core may ask for its end alone.
 */
class AdopterEffects implements ProtocolEffects<ProtocolTransaction> {
  hasEnded = false;

  entered(): void {}
  ended(): void {
    this.hasEnded = true;
  }
  readonly prepare = never;
  readonly commitOnePhase = never;
  readonly record = never;
  readonly confirm = never;
  readonly cancel = never;
  readonly commit = never;
  readonly rollback = never;
  readonly tell = never;
  readonly stalled = never;
}

function never(): never {
  throw new Violation('a restored transaction does more than to complete its branches');
}

/** What an adopter does: its name, and where the world keeps it. */
interface Named {
  readonly name: string;
  readonly of: (w: World) => Adopter;
}

/** The coordinators with higher epochs. Each takes over and crashes as often as it likes. */
export function adopterSteps(options: WorldOptions): Step<World>[] {
  const steps: Step<World>[] = [];
  for (const one of namedIn(options)) {
    steps.push(...(options.shared === true ? takeOverShared(one, options) : takeOver(one, options)));
    steps.push({
      name: `${one.name} crashes`,
      heals: false,
      when: (w) => one.of(w).mode !== DOWN,
      take: (w) => void (one.of(w).mode = DOWN),
    });
    if (options.defect === 'recovery reads before it claims') steps.push(...readTooEarly(one));
  }
  return steps;
}

export function adopterBranchSteps(p: number, options: WorldOptions): Step<World>[] {
  return namedIn(options).flatMap((one) => [
    {
      name: `${one.name} scans, and finds participant ${p} prepared`,
      heals: true,
      when: (w) => one.of(w).mode === PRESUMING && includes(w.prepared, p),
      take: (w) => answer(w, p, { owns: true, recorded: false }),
    },
    options.shared === true ? inquiryOfAny(p, one, options) : inquiryOfNonOwner(p, one, options),
    {
      name: `${one.name} hears that branch ${p} has committed`,
      heals: true,
      when: (w) => includes(w.commitAcks & one.of(w).open, p),
      take: (w) => hearCommitted(w, one.of(w).transaction, p),
    },
  ]);
}

function namedIn({ shared }: WorldOptions): Named[] {
  const names = shared === true ? ['C1', 'C2'] : ['C1'];
  return names.map((name, index) => ({ name, of: (w) => w.adopters[index]! }));
}

/** The log of one coordinator: it claims and reads in one step. */
function takeOver({ name, of }: Named, { defect }: WorldOptions): Step<World>[] {
  return [
    {
      name: `${name} claims, then reads the log`,
      heals: true,
      when: (w) => of(w).mode === DOWN && defect !== 'no recovery',
      take: (w) => {
        w.claim = CLAIM_SECOND;
        read(w, of(w));
      },
    },
  ];
}

/**
 * A shared log: a member fences, then reads; and any member answers a caller, from memory or from the log.
 */
function takeOverShared({ name, of }: Named, { defect }: WorldOptions): Step<World>[] {
  const steps: Step<World>[] = [
    {
      name: `${name} fences the epoch of C0`,
      heals: true,
      when: (w) => of(w).mode === DOWN && defect !== 'no recovery',
      take: (w) => {
        w.claim = CLAIM_SECOND;
        of(w).mode = FENCED;
      },
    },
    {
      name: `${name} reads the log`,
      heals: true,
      when: (w) => of(w).mode === FENCED,
      take: (w) => read(w, of(w)),
    },
    {
      name: `the caller asks ${name}, which has taken over`,
      heals: false,
      when: (w) => w.asked === Told.NOTHING && (of(w).mode === PRESUMING || of(w).mode === RESTORED),
      take: (w) => void (w.asked = of(w).mode === RESTORED ? Told.COMMITTED : Told.ABORTED),
    },
    {
      name: `the caller asks ${name}, which only reads the log`,
      heals: false,
      when: (w) => w.asked === Told.NOTHING && (w.hasOutcome || w.claim === CLAIM_SECOND),
      take: (w) => void (w.asked = w.hasOutcome ? Told.COMMITTED : Told.ABORTED),
    },
  ];
  if (defect === 'an adopter trusts the lease, and does not fence') {
    steps.push({
      name: `${name} reads the log without a fence, as the lease of C0 has expired`,
      heals: false,
      when: (w) => of(w).mode === DOWN,
      take: (w) => read(w, of(w)),
    });
  }
  return steps;
}

function readTooEarly({ name, of }: Named): Step<World>[] {
  return [
    {
      name: `${name} reads that there is no record`,
      heals: false,
      when: (w) => of(w).mode === DOWN && !w.hasRecord,
      take: (w) => void (of(w).mode = READ_TOO_EARLY),
    },
    {
      name: `${name} claims, and believes what it read before`,
      heals: false,
      when: (w) => of(w).mode === READ_TOO_EARLY,
      take: (w) => {
        w.claim = CLAIM_SECOND;
        of(w).mode = PRESUMING;
      },
    },
  ];
}

/** Fault 30: a coordinator that does not own the log answers "wait". */
function inquiryOfNonOwner(p: number, { name, of }: Named, { defect }: WorldOptions): Step<World> {
  return {
    name: `participant ${p} inquires of ${name}, which has not claimed`,
    heals: false,
    when: (w) => of(w).mode === DOWN && includes(w.prepared, p),
    take: (w) => answer(w, p, { owns: defect === 'any coordinator presumes abort', recorded: w.hasRecord }),
  };
}

/**
 * Any member may answer from the log: abort only where the epoch is fenced, and neither a record nor an
 * outcome is kept.
 */
function inquiryOfAny(p: number, { name }: Named, { defect }: WorldOptions): Step<World> {
  return {
    name: `participant ${p} inquires of ${name}, which reads the log`,
    heals: false,
    when: (w) => includes(w.prepared, p),
    take: (w) => {
      const owns = w.claim === CLAIM_SECOND || defect === 'any coordinator presumes abort';
      answer(w, p, { owns, recorded: w.hasOutcome });
    },
  };
}

function read(w: World, adopter: Adopter): void {
  if (!w.hasOutcome || w.options.defect === 'a record found is not restored') {
    adopter.mode = PRESUMING;
    return;
  }
  adopter.mode = RESTORED;
  // One object stands for the adopter of every world, and a transaction is restored as a new one.
  adopter.transaction.state = State.ACTIVE;
  restoreCommitted(adopter.transaction, w.size, w.named);
  w.sendCommit(adopter.transaction.open);
}

function hearCommitted(w: World, transaction: ProtocolTransaction, p: number): void {
  const effects = new AdopterEffects();
  acknowledged(transaction, p, 0, effects);
  if (effects.hasEnded !== (transaction.state === State.COMMITTED)) never();
  w.ending ||= effects.hasEnded && w.hasRecord;
}

/** What a branch in doubt is told. What is committed is delivered to all, so that need not be said twice. */
function answer(w: World, p: number, known: { readonly owns: boolean; readonly recorded: boolean }): void {
  const stray: BranchSet = 1 << p;
  if (presume({ ...known, begunInThisEpoch: false }) === 'abort') w.strayRollbacks |= stray;
}
