import type { TransactionSummary } from '../../api/views.js';
import { TransactionMarks } from '../../components/marks.js';
import { Moment } from '../../components/moment.js';
import { transactionHref } from '../../route.js';
import { formatAge, formatDuration } from '../../words/durations.js';

interface Props {
  readonly transaction: TransactionSummary;
  readonly position: number;
}

/** One transaction in a line; the whole line is a link. */
export function TransactionRow({ transaction, position }: Props) {
  const { transactionId, name, branches, startedAt, durationMs, ageMs } = transaction;
  const why = whyOf(transaction);
  return (
    <div class="row" role="row" aria-rowindex={position}>
      <span role="cell" class="row-state">
        <TransactionMarks transaction={transaction} />
      </span>
      <span role="cell" class="row-name">
        <a href={transactionHref(transactionId)}>{name}</a>
      </span>
      <span role="cell" class="row-id mono quiet">
        <bdi>{transactionId}</bdi>
      </span>
      <span role="cell" class="row-participants quiet">
        {branches.map(({ participant }) => participant).join(', ')}
      </span>
      <span role="cell" class="row-began">
        <Moment iso={startedAt} />
      </span>
      <span role="cell" class="row-age number">
        {durationMs === null ? formatAge(ageMs) : formatDuration(durationMs)}
      </span>
      <span role="cell" class="row-why quiet" title={why}>
        {why}
      </span>
    </div>
  );
}

function whyOf({ reason, branches }: TransactionSummary): string {
  const reported = branches.find(({ heuristic }) => heuristic !== null)?.heuristic?.reason;
  const failing = branches.find(({ lastError }) => lastError !== null);
  const failure = failing === undefined ? '' : `${failing.participant}: ${failing.lastError}`;
  return reported ?? reason ?? failure;
}
