import {
  type Disaster,
  cannotFailAFlush,
  cannotFillADisk,
  connectionIsCut,
  diskIsFull,
  flushFails,
  commitHangs,
  logHangs,
  postgresIsKilled,
  powerFails,
  processStandsStill,
} from './disasters.js';

/** A disaster by its name. */
export interface NamedDisaster {
  readonly name: string;
  readonly befall: Disaster;
  /** Says why a machine cannot show it. */
  readonly impossible?: () => string | undefined;
}

const CUT_AT = ['BEGIN READ WRITE', 'PREPARE TRANSACTION', 'COMMIT PREPARED', 'ROLLBACK PREPARED'];

/** Everything that befalls the bank besides a kill. */
export const DISASTERS: readonly NamedDisaster[] = [
  ...(
    [
      'after log.append',
      'during COMMIT PREPARED',
      'after COMMIT PREPARED',
      'after telling',
      'during log.end',
    ] as const
  ).map((point) => ({ name: `the power fails ${point}`, befall: powerFails({ point }) })),
  { name: 'the power fails when all is told', befall: powerFails({ point: 'after telling', skip: 2 }) },
  { name: 'the log hangs, and the application is killed', befall: logHangs },
  { name: 'a commit hangs, and the application is killed', befall: commitHangs },
  { name: 'PostgreSQL is killed', befall: postgresIsKilled },
  ...CUT_AT.flatMap((statement) => [
    { name: `the connection is cut before ${statement}`, befall: connectionIsCut(statement, 'cut') },
    { name: `the answer to ${statement} is lost`, befall: connectionIsCut(statement, 'cut-answer') },
  ]),
  { name: 'the process stands still', befall: processStandsStill },
  { name: 'fault 25: the disk of the log is full', befall: diskIsFull, impossible: cannotFillADisk },
  // The start itself flushes some eight times.
  ...[9, 14].map((at) => ({
    name: `a flush of the log fails, flush ${at}`,
    befall: flushFails(at),
    impossible: cannotFailAFlush,
  })),
];
