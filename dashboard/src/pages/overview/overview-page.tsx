import { useAnswer } from '../../api/use-answer.js';
import type { HistoryPage } from '../../api/views.js';
import { PageTitle } from '../../components/page-title.js';
import { useLive } from '../../live/use-live.js';
import { AlarmList } from './alarm-list.js';
import { ConditionLine } from './condition-line.js';
import { Figures } from './figures.js';
import { MembersGlance } from './members-glance.js';
import { LastHour } from './last-hour.js';
import { ParticipantGlance } from './participant-glance.js';

const HISTORY_MS = 30_000;

/** The first page for an operator on call. */
export function OverviewPage() {
  const { overview, samples } = useLive();
  const { answer: history } = useAnswer<HistoryPage>('history', HISTORY_MS);
  if (overview === null) {
    return (
      <>
        <PageTitle title="Overview" />
        <p>Waiting for the coordinator…</p>
      </>
    );
  }
  return (
    <>
      <PageTitle title="Overview">
        <ConditionLine coordinator={overview.coordinator} nowMs={Date.parse(overview.at)} />
      </PageTitle>
      <AlarmList overview={overview} />
      <Figures overview={overview} samples={samples} />
      {history !== null && <LastHour history={history} nowMs={Date.parse(overview.at)} />}
      <MembersGlance members={overview.members} />
      <ParticipantGlance participants={overview.participants} />
    </>
  );
}
