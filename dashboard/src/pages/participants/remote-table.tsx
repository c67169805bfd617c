import type { ParticipantView } from '../../api/views.js';
import { Moment } from '../../components/moment.js';
import { type Column, Table } from '../../components/table.js';
import { Words } from '../../components/words.js';
import { formatAge } from '../../words/durations.js';
import { formatCount } from '../../words/numbers.js';

type Remote = ParticipantView & Required<Pick<ParticipantView, 'remote'>>;

interface Props {
  readonly participants: readonly ParticipantView[];
  readonly nowMs: number;
}

/** The participants in other processes, as this member reaches them. Nothing where there are none. */
export function RemoteTable({ participants, nowMs }: Props) {
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
      <p class="more quiet">As this member reaches them, since its start.</p>
    </section>
  );
}

function columnsAt(nowMs: number): readonly Column<Remote>[] {
  return [
    { head: 'Participant', isName: true, cell: ({ name }) => name },
    { head: 'Address', cell: ({ remote }) => remote.address },
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

function When({ iso, nowMs }: { readonly iso: string | null; readonly nowMs: number }) {
  if (iso === null) return <>–</>;
  return (
    <>
      {formatAge(nowMs - Date.parse(iso))} ago, at <Moment iso={iso} />
    </>
  );
}
