import type { ParticipantView, RemoteHost } from '../../api/views.js';
import { Moment } from '../../components/moment.js';
import { type Column, Table } from '../../components/table.js';
import { Words } from '../../components/words.js';
import { formatAge } from '../../words/durations.js';
import { formatCount } from '../../words/numbers.js';

type Remote = ParticipantView & Required<Pick<ParticipantView, 'remote'>>;

interface Props {
  readonly participants: readonly ParticipantView[];
  readonly nowMs: number;
  /** Of the coordinator. */
  readonly version: string;
}

/** The participants in other processes, as this member reaches them. Nothing where there are none. */
export function RemoteTable({ participants, nowMs, version }: Props) {
  const remote = participants.filter((one): one is Remote => one.remote !== undefined);
  if (remote.length === 0) return null;
  return (
    <section aria-labelledby="remote" class="section">
      <h2 id="remote">In other processes</h2>
      <Table
        caption="Participants in other processes, with their addresses and the calls to them"
        columns={columnsAt(nowMs)}
        rows={remote}
        keyOf={({ name }) => name}
      />
      <p class="more quiet">
        As this member reaches them, since its start or since they have moved. This coordinator has the
        version {version}.
      </p>
    </section>
  );
}

function columnsAt(nowMs: number): readonly Column<Remote>[] {
  return [
    { head: 'Participant', isName: true, cell: ({ name }) => name },
    { head: 'Address', cell: ({ remote }) => remote.address },
    { head: 'Version', cell: ({ remote: { contact } }) => <Version host={contact?.host} /> },
    {
      head: 'Calls in flight',
      isNumber: true,
      cell: ({ remote: { contact } }) => (contact === null ? 'not known' : formatCount(contact.inFlight)),
    },
    {
      head: 'Calls that wait',
      isNumber: true,
      cell: ({ remote: { contact } }) => (contact === null ? 'not known' : formatCount(contact.queued)),
    },
    {
      head: 'Calls as its host counts them',
      cell: ({ remote: { contact } }) => <HostCalls host={contact?.host} />,
    },
    {
      head: 'Last answer',
      cell: ({ remote: { contact } }) => <When iso={contact?.answeredAt ?? null} nowMs={nowMs} />,
    },
    {
      head: 'Last call without an answer',
      cell: ({ remote: { contact } }) =>
        contact === null || contact.failure === null ? (
          '–'
        ) : (
          <>
            <When iso={contact.failure.at} nowMs={nowMs} />
            <p class="quiet">
              <Words>{contact.failure.problem}</Words>
            </p>
          </>
        ),
    },
  ];
}

function Version({ host }: { readonly host: RemoteHost | undefined }) {
  if (host === undefined) return <>not known yet</>;
  const { versions } = host;
  return versions.length > 1 ? <>{`several: ${versions.join(', ')}`}</> : <>{host.version ?? 'unknown'}</>;
}

function HostCalls({ host }: { readonly host: RemoteHost | undefined }) {
  if (host === undefined || host.calls === null) return <>not known</>;
  const { calls, errors, atWork } = host;
  return (
    <>
      {formatCount(calls)} since its start, {formatCount(errors ?? 0)} with an error,{' '}
      {formatCount(atWork ?? 0)} at work
    </>
  );
}

function When({ iso, nowMs }: { readonly iso: string | null; readonly nowMs: number }) {
  if (iso === null) return <>–</>;
  return (
    <>
      {formatAge(nowMs - Date.parse(iso))} ago, at <Moment iso={iso} />
    </>
  );
}
