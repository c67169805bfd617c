import type { Overview, TransactionSummary } from '../../api/views.js';
import { Moment } from '../../components/moment.js';
import { Mark } from '../../components/marks.js';
import { type Column, Table } from '../../components/table.js';
import { transactionHref, transactionsHref } from '../../route.js';
import { attentionOf } from '../../words/attention.js';
import { formatAge } from '../../words/durations.js';

interface Case {
  readonly transaction: TransactionSummary;
  readonly attention: NonNullable<ReturnType<typeof attentionOf>>;
}

const KIND_TONE = { 'in doubt': 'warn', stalled: 'warn', heuristic: 'bad' } as const;

/** Transactions that are in doubt, stalled or have a heuristic report: the oldest first. */
export function AttentionList({ overview }: { readonly overview: Overview }) {
  const nowMs = Date.parse(overview.at);
  const cases = overview.attention.flatMap((transaction): Case[] => {
    const attention = attentionOf(transaction, nowMs);
    return attention === undefined ? [] : [{ transaction, attention }];
  });
  const hidden = overview.attentionTotal - overview.attention.length;
  return (
    <section aria-labelledby="attention" class={cases.length > 0 ? 'section section-alarm' : 'section'}>
      <h2 id="attention">
        Needs attention <span class="count">{overview.attentionTotal}</span>
      </h2>
      <Table
        caption="Transactions that need attention, the oldest first"
        columns={columnsAt(nowMs)}
        rows={cases}
        keyOf={({ transaction }) => transaction.transactionId}
        empty="No transaction is in doubt, stalled or reported. All continue by themselves."
      />
      {hidden > 0 && (
        <p class="more">
          {hidden} more: <a href={transactionsHref({ show: 'stalled', order: 'oldest' })}>all stalled</a>,{' '}
          <a href={transactionsHref({ show: 'inDoubt', order: 'oldest' })}>all in doubt</a>,{' '}
          <a href={transactionsHref({ show: 'heuristic', order: 'oldest' })}>all with a report</a>.
        </p>
      )}
    </section>
  );
}

function columnsAt(nowMs: number): Column<Case>[] {
  return [
    {
      head: 'For',
      isNumber: true,
      cell: ({ attention }) => <strong>{formatAge(nowMs - Date.parse(attention.since))}</strong>,
    },
    {
      head: 'Transaction',
      isName: true,
      cell: ({ transaction: { transactionId, name } }) => (
        <a href={transactionHref(transactionId)}>
          {name} <span class="mono id">{transactionId}</span>
        </a>
      ),
    },
    { head: 'What', cell: ({ attention: { kind } }) => <Mark tone={KIND_TONE[kind]}>{kind}</Mark> },
    {
      head: 'Why',
      cell: ({ attention }) => attention.why.map((sentence) => <p key={sentence}>{sentence}</p>),
    },
    { head: 'Since', cell: ({ attention }) => <Moment iso={attention.since} /> },
    { head: 'What happens next', cell: ({ attention }) => attention.next },
  ];
}
