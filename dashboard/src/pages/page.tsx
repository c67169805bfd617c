import type { Route } from '../route.js';
import { PageTitle } from '../components/page-title.js';
import { AuditPage } from './audit/audit-page.js';
import { DatabasesPage } from './databases/databases-page.js';
import { GroupsPage } from './groups/groups-page.js';
import { MessagesPage } from './messages/messages-page.js';
import { OverviewPage } from './overview/overview-page.js';
import { ParticipantsPage } from './participants/participants-page.js';
import { RunbookPage } from './runbook/runbook-page.js';
import { TransactionPage } from './transaction/transaction-page.js';
import { TransactionsPage } from './transactions/transactions-page.js';

/** The page that the address selects. */
export function Page({ route }: { readonly route: Route }) {
  switch (route.page) {
    case 'overview':
      return <OverviewPage />;
    case 'transactions':
      return <TransactionsPage query={route.query} />;
    case 'transaction':
      return <TransactionPage key={route.id} id={route.id} />;
    case 'runbook':
      return <RunbookPage key={route.name} name={route.name} />;
    case 'participants':
      return <ParticipantsPage />;
    case 'groups':
      return <GroupsPage />;
    case 'databases':
      return <DatabasesPage />;
    case 'messages':
      return <MessagesPage />;
    case 'audit':
      return <AuditPage />;
    case 'unknown':
      return (
        <>
          <PageTitle title="No such page" />
          <p>
            There is nothing at this address. <a href="#/">Go to the overview</a>.
          </p>
        </>
      );
  }
}
