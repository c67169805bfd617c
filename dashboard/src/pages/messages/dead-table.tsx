import { useState } from 'preact/hooks';
import { ActionButton } from '../../actions/action-button.js';
import { discard, resend } from '../../actions/message-actions.js';
import { describeProblem } from '../../api/problem.js';
import type { DeadMessageDetail, DeadMessageView } from '../../api/views.js';
import { CopyButton } from '../../components/copy-button.js';
import { Moment } from '../../components/moment.js';
import { Problem } from '../../components/problem.js';
import { type Column, Table } from '../../components/table.js';
import { Words } from '../../components/words.js';
import { transactionHref } from '../../route.js';
import { useSession } from '../../session.js';
import { formatCount } from '../../words/numbers.js';

interface Props {
  readonly outbox: string;
  readonly messages: readonly DeadMessageView[];
  readonly onDone: () => void;
}

/** The dead messages of one outbox, and what can be done with each. */
export function DeadTable({ outbox, messages, onDone }: Props) {
  const isOperator = useSession().access.role === 'operator';
  return (
    <Table
      caption={`Dead messages of ${outbox}, in the order of their positions`}
      columns={isOperator ? [...COLUMNS, ...actionColumns(outbox, onDone)] : COLUMNS}
      rows={messages}
      keyOf={({ id }) => id}
      empty="No message is dead."
    />
  );
}

const COLUMNS: readonly Column<DeadMessageView>[] = [
  { head: 'Written', cell: ({ writtenAt }) => <Moment iso={writtenAt} /> },
  {
    head: 'Message',
    isName: true,
    cell: ({ id, topic, key }) => (
      <>
        <Words>{topic}</Words>
        {key !== null && (
          <p class="quiet">
            key <Words>{key}</Words>
          </p>
        )}
        <p class="quiet mono">
          <Words>{id}</Words> <CopyButton text={id} what="the id of the message" />
        </p>
      </>
    ),
  },
  {
    head: 'Of transaction',
    cell: ({ transactionId }) => (
      <a class="mono" href={transactionHref(transactionId)}>
        <Words>{transactionId}</Words>
      </a>
    ),
  },
  { head: 'Attempts', isNumber: true, cell: ({ attempts }) => formatCount(attempts) },
  { head: 'Last error', cell: ({ error }) => error },
];

function actionColumns(outbox: string, onDone: () => void): Column<DeadMessageView>[] {
  return [
    { head: 'Says', cell: ({ id }) => <Payload outbox={outbox} id={id} /> },
    {
      head: 'Actions',
      cell: ({ id }) => (
        <>
          <ActionButton action={resend(outbox, [id])} onDone={onDone} />{' '}
          <ActionButton action={discard(outbox, [id])} onDone={onDone} />
        </>
      ),
    },
  ];
}

/** What a message says, when the operator asks for it. */
function Payload({ outbox, id }: { readonly outbox: string; readonly id: string }) {
  const { client } = useSession();
  const [text, setText] = useState<string | null>(null);
  const [isProblem, setProblem] = useState(false);

  async function show(): Promise<void> {
    try {
      const path = `outboxes/${encodeURIComponent(outbox)}/dead/${encodeURIComponent(id)}`;
      setText((await client.get<DeadMessageDetail>(path)).payload);
      setProblem(false);
    } catch (error) {
      setText(describeProblem(error));
      setProblem(true);
    }
  }

  if (text === null || isProblem) {
    return (
      <>
        <button type="button" class="button" aria-label={`Show: ${id}`} onClick={() => void show()}>
          Show
        </button>
        {isProblem && <Problem text={text} />}
      </>
    );
  }
  return (
    <code class="mono">
      <Words>{text}</Words>
    </code>
  );
}
