import { ActionButton } from '../../actions/action-button.js';
import { actionsOfTransaction } from '../../actions/transaction-actions.js';
import { useAnswer } from '../../api/use-answer.js';
import { useLinks } from '../../api/use-links.js';
import type { AuditPage, OutcomeOnly, OwnedTransaction } from '../../api/views.js';
import { CopyButton } from '../../components/copy-button.js';
import { PageTitle } from '../../components/page-title.js';
import { Problem } from '../../components/problem.js';
import { Words } from '../../components/words.js';
import { useCoordinatorNow } from '../../live/use-live.js';
import { BranchTable } from './branch-table.js';
import { linksOf } from '../../words/links.js';
import { nameOfOwner } from '../../words/owners.js';
import { EventTable } from './event-table.js';
import { OrderTable } from './order-table.js';
import { Summary } from './summary.js';
import { TimelinePicture } from './timeline/timeline-picture.js';
import { useTransaction } from './use-transaction.js';

/** One transaction: its state, what happens next, its past events, and its actions. */
export function TransactionPage({ id }: { readonly id: string }) {
  const { transaction, outcome, problem, isMissing, reload: reloadTransaction } = useTransaction(id);
  const orders = useAnswer<AuditPage>(
    `audit?${new URLSearchParams({ transactionId: id, limit: '100' }).toString()}`,
  );
  const reload = (): void => {
    reloadTransaction();
    orders.reload();
  };
  return (
    <>
      <PageTitle title={transaction === null ? 'Transaction' : `Transaction ${transaction.name}`}>
        {transaction !== null &&
          actionsOfTransaction(transaction).map((action) => (
            <ActionButton key={action.kind} action={action} onDone={reload} />
          ))}
      </PageTitle>
      <p>
        <span class="mono id">
          <Words>{id}</Words>
        </span>{' '}
        <CopyButton text={id} what="the id of the transaction" />
      </p>
      <Problem text={problem} />
      {transaction === null && outcome === null && problem === null && <p role="status">Loading…</p>}
      {outcome !== null && <Outcome outcome={outcome} />}
      {isMissing && (
        <p>
          <a href="#/transactions">Look at all transactions</a>
        </p>
      )}
      {transaction !== null && <OtherTools transaction={transaction} />}
      {transaction !== null && <Details transaction={transaction} onDone={reload} />}
      <OrderTable orders={orders} />
    </>
  );
}

/** What other tools have of it. */
function OtherTools({ transaction }: { readonly transaction: OwnedTransaction }) {
  const links = linksOf(useLinks().links, transaction);
  if (links.length === 0) return null;
  return (
    <ul class="links">
      {links.map(({ label, href }) => (
        <li key={label}>
          <a href={href} target="_blank" rel="noopener noreferrer">
            {label}
            <span class="visually-hidden"> in a new tab</span>
          </a>
        </li>
      ))}
    </ul>
  );
}

/** No member keeps the transaction any more, or its owner does not answer. */
function Outcome({ outcome: { outcome, owner } }: { readonly outcome: OutcomeOnly }) {
  return (
    <div class="summary">
      <p>
        The outcome is <strong>{outcome}</strong>. No member that answers has more of this transaction.
      </p>
      {owner !== null && <p class="quiet">Its owner is {nameOfOwner(owner)}.</p>}
    </div>
  );
}

function Details({
  transaction,
  onDone,
}: {
  readonly transaction: OwnedTransaction;
  readonly onDone: () => void;
}) {
  const nowMs = useCoordinatorNow();
  return (
    <>
      <Summary transaction={transaction} nowMs={nowMs} />
      <section aria-labelledby="timeline" class="section">
        <h2 id="timeline">Timeline</h2>
        <TimelinePicture transaction={transaction} nowMs={nowMs} />
      </section>
      <section aria-labelledby="branches" class="section">
        <h2 id="branches">Branches</h2>
        <BranchTable transaction={transaction} nowMs={nowMs} onDone={onDone} />
      </section>
      <section aria-labelledby="events" class="section">
        <h2 id="events">What happened</h2>
        <EventTable transaction={transaction} />
      </section>
    </>
  );
}
