import type { ParticipantLinks } from './links.js';
import type { Status } from './status.js';

export const XML_TYPE = 'application/txstatusext+xml';

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

/** How many transactions there are of each kind. */
export interface Counts {
  readonly active: number;
  readonly prepared: number;
  readonly committed: number;
  readonly rolledback: number;
}

/** A participant of a transaction, as its XML shows it. */
export interface ShownParticipant {
  readonly status: Status;
  readonly recoveryUrl: string;
  readonly links: ParticipantLinks;
}

/** A transaction, as its XML shows it. */
export interface ShownTransaction {
  readonly status: Status;
  /** ISO 8601. */
  readonly created: string;
  readonly timeoutMs: number;
  readonly url: string;
  readonly participants: readonly ShownParticipant[];
  readonly volatileParticipants: readonly string[];
}

/** An element with text in it. */
function element(name: string, text: string | number): string {
  const escaped = String(text).replaceAll(/[&<>"']/g, (character) => ESCAPES[character]!);
  return `<${name}>${escaped}</${name}>`;
}

export function statisticsXml({ active, prepared, committed, rolledback }: Counts): string {
  const counts = Object.entries({ active, prepared, committed, rolledback });
  return `<statistics>${counts.map(([name, count]) => element(name, count)).join('')}</statistics>`;
}

/** @param created when the coordinator started, as ISO 8601. */
export function managerXml(created: string, counts: Counts, urls: readonly string[]): string {
  const transactions = urls.map((url) => element('coordinatorURIs', url)).join('');
  return `<transaction-manager>${element('created', created)}${statisticsXml(counts)}${transactions}</transaction-manager>`;
}

export function transactionXml(transaction: ShownTransaction): string {
  const { status, created, timeoutMs, url, participants, volatileParticipants } = transaction;
  return [
    '<coordinator>',
    element('status', status),
    element('created', created),
    element('timeout', timeoutMs),
    element('txnURI', url),
    element('terminatorURI', `${url}/terminator`),
    element('durableParticipantEnlistmentURI', url),
    element('volatileParticipantEnlistmentURI', `${url}/volatile-participant`),
    ...participants.filter(({ links }) => 'terminator' in links).map(participantXml),
    ...participants.filter(({ links }) => !('terminator' in links)).map(participantXml),
    ...volatileParticipants.map((participant) => element('volatileParticipants', participant)),
    '</coordinator>',
  ].join('');
}

function participantXml({ status, recoveryUrl, links }: ShownParticipant): string {
  const name = 'terminator' in links ? 'twoPhaseAware' : 'twoPhaseUnaware';
  const orders =
    'terminator' in links
      ? [element('terminatorURI', links.terminator)]
      : [
          element('prepareURI', links.prepare),
          element('commitURI', links.commit),
          element('rollbackURI', links.rollback),
        ];
  const common = [
    element('status', status),
    element('recoveryURI', recoveryUrl),
    element('resourceURI', links.participant),
  ];
  return `<${name}>${[...common, ...orders].join('')}</${name}>`;
}
