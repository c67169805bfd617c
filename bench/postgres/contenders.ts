import type { Contender } from '../framework/contender.js';
import { accountsDrawn, rowCounts, someRefused } from './accounts.js';
import { byHandOver, byHandWithRecordOver } from './by-hand.js';
import { coordinatorOver } from './coordinator.js';
import { AccountsBatchParticipant, AccountsParticipant } from './participants.js';
import { plainInOneTripOver, plainOver, poolsOf } from './plain.js';
import { beyondRefusals } from './beyond-refusals.js';
import { untilCommitted } from './until-committed.js';

/** The names of the contenders. */
export const KINDS = [
  'plain',
  'plain-one-trip',
  'by-hand',
  'by-hand-with-record',
  'coordinator',
  'coordinator-batch',
  'coordinator-in-turn',
  'coordinator-grouped',
  'dbos',
] as const;
export type Kind = (typeof KINDS)[number];

/** The resources of a contender. */
export interface PostgresSetup {
  /**
   * The name of the coordinator. Two coordinators of one name would take each other's branches for their own.
   */
  readonly name: string;
  readonly kind: Kind;
  readonly urls: readonly string[];
  /** The database in which DBOS keeps its workflows. */
  readonly systemUrl: string;
  /** The folder in which decisions are kept. */
  readonly folder: string;
  readonly seed: number;
  /** The number of databases with few rows, in which transactions conflict. */
  readonly hotDatabases: 0 | 1 | 3;
  /** How many of the transactions one database refuses, from 0 to 1. */
  readonly refusedShare: number;
}

export async function makeContender(_name: string, setup: PostgresSetup): Promise<Contender> {
  const contender = await contenderOf(setup);
  if (setup.refusedShare > 0) return beyondRefusals(contender);
  return setup.hotDatabases === 0 ? contender : untilCommitted(contender);
}

async function contenderOf({
  name,
  kind,
  urls,
  systemUrl,
  folder,
  seed,
  hotDatabases,
  refusedShare,
}: PostgresSetup): Promise<Contender> {
  const draw = someRefused(accountsDrawn(seed, rowCounts(hotDatabases)), seed, refusedShare);
  switch (kind) {
    case 'plain':
      return plainOver(poolsOf(urls), draw);
    case 'plain-one-trip':
      return plainInOneTripOver(poolsOf(urls), draw);
    case 'by-hand':
      return byHandOver(poolsOf(urls), draw);
    case 'by-hand-with-record':
      return byHandWithRecordOver(poolsOf(urls), draw, folder);
    case 'coordinator':
      return coordinatorOver(name, AccountsParticipant, urls, draw, folder);
    case 'coordinator-batch':
      return coordinatorOver(name, AccountsBatchParticipant, urls, draw, folder);
    case 'coordinator-in-turn':
      return coordinatorOver(name, AccountsBatchParticipant, urls, draw, folder, { prepareInTurn: true });
    case 'coordinator-grouped':
      return coordinatorOver(name, AccountsBatchParticipant, urls, draw, folder, { grouped: true });
    case 'dbos': {
      // DBOS patches other modules, so it is loaded only in the process that measures it.
      const { dbosOver } = await import('./dbos.js');
      return dbosOver(poolsOf(urls), draw, systemUrl);
    }
  }
}
