import type { Configuration } from './configuration.js';

/** What a started application tells its user: where it is, and what a restart keeps. */
export interface Announcement {
  /** Where it listens, such as `http://127.0.0.1:3000`. */
  readonly url: string;
  /** The names of the participants. */
  readonly participants: readonly string[];
  readonly configuration: Pick<Configuration, 'decisionLog' | 'databases'> &
    Partial<Pick<Configuration, 'demo'>>;
  /** The server that was started with the application. Left out: none was. */
  readonly server?: ServerFacts | undefined;
}

/** A PostgreSQL server that was started with the application. */
export interface ServerFacts {
  readonly address: string;
  /** Where its data and the password of its user are. */
  readonly folder: string;
}

/** @returns the sentences for the log, one line each. */
export function sentencesOf(announcement: Announcement): string[] {
  const { url, server, configuration } = announcement;
  return [
    `Listening on ${url}, documentation at /docs, dashboard at /dashboard${configuration.demo === true ? ', demonstration at /demo' : ''}`,
    `Decisions are kept ${whereDecisionsAre(announcement)}`,
    ...(server === undefined ? [] : [`PostgreSQL is at ${postgresOf(server)}`]),
  ];
}

/** @returns the same for a person at a terminal, in a few lines. */
export function textOf(announcement: Announcement): string {
  const { url, participants, server, configuration } = announcement;
  const rows = [
    ['Orders', `${url}/orders`],
    ['Documentation', `${url}/docs`],
    ['Dashboard', `${url}/dashboard`],
    ...(configuration.demo === true ? [['Demonstration', `${url}/demo`]] : []),
    ['Participants', participants.join(', ')],
    ['Decisions', whereDecisionsAre(announcement)],
    ...(server === undefined ? [] : [['PostgreSQL', postgresOf(server)]]),
    ['To stop', 'Ctrl+C'],
  ];
  const lines = rows.map(([name, value]) => `  ${name!.padEnd(14)} ${value}`);
  return [
    '',
    'The shop is running. An order changes all of its services, or none.',
    '',
    ...lines,
    '',
    '',
  ].join('\n');
}

/** @returns where decisions are kept, and what a restart does to them. */
export function whereDecisionsAre({
  configuration: { decisionLog, databases },
}: {
  readonly configuration: Pick<Configuration, 'decisionLog' | 'databases'>;
}): string {
  switch (decisionLog.kind) {
    case 'sqlite':
      return `in ${decisionLog.path}: a restart continues with them.`;
    case 'postgres':
      // The URL may hold a password.
      return 'in the database of DECISION_LOG_URL: a restart continues with them.';
    case 'memory':
      return databases === undefined
        ? 'in memory, as all data is: a restart forgets both. To keep them, use "npm run start:postgres".'
        : 'in memory: a restart forgets them, and branches stay prepared. To keep them, unset DECISION_LOG.';
  }
}

function postgresOf({ address, folder }: ServerFacts): string {
  return `${address}, its data and the password of postgres are in ${folder}`;
}
