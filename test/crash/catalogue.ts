import {
  type Disaster,
  atMariaDb,
  cannotFailAFlush,
  cannotFillADisk,
  connectionIsCut,
  diskIsFull,
  hasNoMariaDb,
  flushFails,
  commitHangs,
  logHangs,
  mariaDbIsKilled,
  postgresIsKilled,
  powerFails,
  processStandsStill,
} from './disasters.js';

/** A disaster by its name. */
export interface NamedDisaster {
  readonly name: string;
  readonly strike: Disaster;
  /** Says why a machine cannot show it. */
  readonly impossible?: () => string | undefined;
}

const CUT_AT = ['BEGIN READ WRITE', 'PREPARE TRANSACTION', 'COMMIT PREPARED', 'ROLLBACK PREPARED'];

/** Every disaster of the bank besides a kill. */
export const DISASTERS: readonly NamedDisaster[] = [
  ...(
    [
      'after log.append',
      'during COMMIT PREPARED',
      'after COMMIT PREPARED',
      'after telling',
      'during log.end',
    ] as const
  ).map((point) => ({ name: `the power fails ${point}`, strike: powerFails({ point }) })),
  { name: 'the power fails when all is told', strike: powerFails({ point: 'after telling', skip: 2 }) },
  { name: 'the log hangs, and the application is killed', strike: logHangs },
  { name: 'a commit hangs, and the application is killed', strike: commitHangs },
  { name: 'PostgreSQL is killed', strike: postgresIsKilled },
  ...CUT_AT.flatMap((statement) => [
    { name: `the connection is cut before ${statement}`, strike: connectionIsCut(statement, 'cut') },
    { name: `the answer to ${statement} is lost`, strike: connectionIsCut(statement, 'cut-answer') },
  ]),
  { name: 'MariaDB is killed', strike: mariaDbIsKilled, impossible: hasNoMariaDb },
  {
    name: 'the connection to MariaDB is cut before XA COMMIT',
    strike: atMariaDb('XA COMMIT', 'cut'),
    impossible: hasNoMariaDb,
  },
  {
    name: 'the answer of MariaDB to XA COMMIT is lost',
    strike: atMariaDb('XA COMMIT', 'cut-answer'),
    impossible: hasNoMariaDb,
  },
  ...(['kill before', 'kill after'] as const).flatMap((what) =>
    (what === 'kill before' ? ['XA PREPARE', 'XA COMMIT'] : ['XA PREPARE', 'XA COMMIT', 'XA ROLLBACK']).map(
      (statement) => ({
        name: `the application is killed ${what === 'kill before' ? 'before' : 'during'} ${statement}`,
        strike: atMariaDb(statement, what),
        impossible: hasNoMariaDb,
      }),
    ),
  ),
  { name: 'the process stands still', strike: processStandsStill },
  { name: 'fault 25: the disk of the log is full', strike: diskIsFull, impossible: cannotFillADisk },
  // The start itself flushes some eight times.
  ...[9, 14].map((at) => ({
    name: `a flush of the log fails, flush ${at}`,
    strike: flushFails(at),
    impossible: cannotFailAFlush,
  })),
];
