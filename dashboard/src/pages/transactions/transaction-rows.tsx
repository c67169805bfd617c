import type { TransactionSummary } from '../../api/views.js';
import { useEffect } from 'preact/hooks';
import { TransactionRow } from './transaction-row.js';
import { useMedia, useWindowOfRows } from './use-window-of-rows.js';

interface Props {
  readonly rows: readonly TransactionSummary[];
  readonly isComplete: boolean;
  /** Called when the end comes near. */
  readonly onNearEnd: () => void;
}

/** In pixels, as in the style sheet. */
const ROW_HEIGHT = 34;
const NARROW_ROW_HEIGHT = 64;
const NARROW = '(max-width: 760px)';
const NEAR_ROWS = 40;
const HEADS = ['State', 'Name', 'Transaction', 'Participants', 'Began', 'Age', 'Why'];

/** A table that contains only the visible rows, however long it is. */
export function TransactionRows({ rows, isComplete, onNearEnd }: Props) {
  const rowHeight = useMedia(NARROW) ? NARROW_ROW_HEIGHT : ROW_HEIGHT;
  const [place, { from, to }] = useWindowOfRows(rows.length, rowHeight);
  const isNearEnd = to + NEAR_ROWS >= rows.length;

  useEffect(() => {
    if (isNearEnd && !isComplete) onNearEnd();
  });

  return (
    <div
      class="rows"
      role="table"
      aria-label="Transactions"
      aria-rowcount={isComplete ? rows.length + 1 : -1}
    >
      <div role="rowgroup">
        <div class="row row-head" role="row" aria-rowindex={1}>
          {HEADS.map((head) => (
            <span key={head} role="columnheader">
              {head}
            </span>
          ))}
        </div>
      </div>
      <div role="rowgroup" ref={place}>
        <Gap height={from * rowHeight} />
        {rows.slice(from, to).map((transaction, index) => (
          <TransactionRow
            key={transaction.transactionId}
            transaction={transaction}
            // The first is the head, and counting starts at 1.
            position={from + index + 2}
          />
        ))}
        <Gap height={(rows.length - to) * rowHeight} />
      </div>
    </div>
  );
}

/** The space of the rows that are not drawn. */
function Gap({ height }: { readonly height: number }) {
  return <div role="presentation" style={{ height: `${height}px` }} />;
}
