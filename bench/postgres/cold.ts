import type { ContenderRunner, Rate } from '../framework/contender-runner.js';
import {
  type Rates,
  type RoundSettings,
  interleavedRounds,
  medianRatio,
  medianTps,
} from '../framework/interleaved.js';
import { round } from '../framework/statistics.js';
import { KINDS, type Kind } from './contenders.js';

/** The measured numbers of transactions in flight. */
export const LEVELS = [1, 16, 64] as const;

/**
 * Transactions a second at one number in flight. A ratio is the median of the ratios of the single rounds.
 */
export interface ColdLevel {
  readonly inFlight: number;
  readonly plainTps: number;
  readonly plainOneTripTps: number;
  readonly byHandTps: number;
  readonly byHandWithRecordTps: number;
  readonly dbosTps: number;
  readonly interactive: Compared;
  readonly batch: Compared;
  /** Batch work, and the participants prepare one after the other. */
  readonly inTurn: Compared;
  /** Batch work, and the participants take part in groups. */
  readonly grouped: Compared;
}

/**
 * The coordinator, with its participants written in one of two ways, and the contenders that it is compared
 * with.
 */
export interface Compared {
  readonly tps: number;
  /** Divided by the rate of three plain transactions, statement by statement. */
  readonly ratioToPlain: number;
  readonly ratioToPlainOneTrip: number;
  readonly ratioToByHand: number;
  readonly ratioToByHandWithRecord: number;
  readonly timesDbos: number;
}

/** @param runners the runners of all contenders. Those of other contenders are not used. */
export async function measureCold(
  runners: readonly ContenderRunner<string>[],
  settings: RoundSettings,
): Promise<ColdLevel[]> {
  const cold = runners.filter(isCold);
  const levels: ColdLevel[] = [];
  for (const inFlight of LEVELS)
    levels.push(summary(inFlight, await interleavedRounds(inFlight, cold, settings)));
  return levels;
}

function isCold(runner: ContenderRunner<string>): runner is ContenderRunner<Kind> {
  return KINDS.some((kind) => kind === runner.name);
}

function summary(inFlight: number, rates: Rates<Kind>): ColdLevel {
  return {
    inFlight,
    plainTps: medianTps(rates.plain),
    plainOneTripTps: medianTps(rates['plain-one-trip']),
    byHandTps: medianTps(rates['by-hand']),
    byHandWithRecordTps: medianTps(rates['by-hand-with-record']),
    dbosTps: medianTps(rates.dbos),
    interactive: compared(rates.coordinator, rates),
    batch: compared(rates['coordinator-batch'], rates),
    inTurn: compared(rates['coordinator-in-turn'], rates),
    grouped: compared(rates['coordinator-grouped'], rates),
  };
}

function compared(coordinator: readonly Rate[], rates: Rates<Kind>): Compared {
  return {
    tps: medianTps(coordinator),
    ratioToPlain: round(medianRatio(coordinator, rates.plain), 3),
    ratioToPlainOneTrip: round(medianRatio(coordinator, rates['plain-one-trip']), 3),
    ratioToByHand: round(medianRatio(coordinator, rates['by-hand']), 3),
    ratioToByHandWithRecord: round(medianRatio(coordinator, rates['by-hand-with-record']), 3),
    timesDbos: round(medianRatio(coordinator, rates.dbos), 1),
  };
}
