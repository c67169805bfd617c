import type { LockWait, PreparedView } from '../../api/views.js';
import { CopyButton } from '../../components/copy-button.js';
import { Mark } from '../../components/marks.js';
import { type Column, Table } from '../../components/table.js';
import { Words } from '../../components/words.js';
import { transactionHref } from '../../route.js';
import { KNOWLEDGE_WORDS, waitersOf } from '../../words/databases.js';
import { formatAge } from '../../words/durations.js';
import { formatCount } from '../../words/numbers.js';

interface Props {
  readonly title: string;
  readonly prepared: readonly PreparedView[];
  readonly waits: readonly LockWait[];
}

const TONE = { commit: 'good', abort: 'neutral', open: 'busy', unknown: 'warn', foreign: 'neutral' } as const;

/** What is prepared in one database, with the statement that ends it as decided. */
export function PreparedTable({ title, prepared, waits }: Props) {
  const waiters = waitersOf(waits);
  return (
    <Table
      caption={`Prepared transactions in ${title}, the oldest first`}
      columns={columnsWith(waiters)}
      rows={prepared}
      keyOf={({ id }) => id}
      empty="Nothing is prepared."
    />
  );
}

function columnsWith(waiters: ReadonlyMap<string, number>): Column<PreparedView>[] {
  return [
    {
      head: 'For',
      isNumber: true,
      cell: ({ ageMs }) => <strong>{ageMs === null ? 'not known' : formatAge(ageMs)}</strong>,
    },
    { head: 'Prepared transaction', isName: true, cell: (prepared) => <Id prepared={prepared} /> },
    {
      head: 'Owner',
      cell: ({ owner, database }) => [owner, database].filter((part) => part !== null).join(', ') || '–',
    },
    {
      head: 'The coordinator knows',
      cell: ({ knowledge, why }) => (
        <>
          <Mark tone={TONE[knowledge]}>{KNOWLEDGE_WORDS[knowledge]}</Mark>{' '}
          <span>
            <Words>{why}</Words>
          </span>
        </>
      ),
    },
    { head: 'Holds up', isNumber: true, cell: ({ id }) => formatCount(waiters.get(id) ?? 0) },
    { head: 'To end it by hand', cell: (prepared) => <Statement prepared={prepared} /> },
  ];
}

function Id({ prepared: { id, branch, knowledge, session } }: { readonly prepared: PreparedView }) {
  const text = (
    <span class="mono">
      <Words>{id}</Words>
    </span>
  );
  return (
    <>
      {branch === null || knowledge === 'foreign' ? (
        text
      ) : (
        <a href={transactionHref(branch.transactionId)}>{text}</a>
      )}{' '}
      <CopyButton text={id} what="the global id" />
      {session !== null && <p class="quiet">held by session {session}</p>}
    </>
  );
}

function Statement({ prepared: { statement, how, knowledge } }: { readonly prepared: PreparedView }) {
  if (statement === null) {
    const why = knowledge === 'foreign' ? 'it is not ours' : 'the decision is not known here';
    return <span class="quiet">nothing, since {why}</span>;
  }
  return (
    <>
      <code class="mono">
        <Words>{statement}</Words>
      </code>{' '}
      <CopyButton text={statement} what="the statement" />
      {how !== null && (
        <p class="quiet">
          <Words>{how}</Words>
        </p>
      )}
    </>
  );
}
