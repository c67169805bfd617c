import { GroupButtons } from '../../actions/group-buttons.js';
import type { OwnedAlarm, Overview } from '../../api/views.js';
import { Mark } from '../../components/marks.js';
import { Moment } from '../../components/moment.js';
import { type Column, Table } from '../../components/table.js';
import { runbookHref, transactionHref, transactionsHref } from '../../route.js';
import { tallyOf, wordsOf } from '../../words/alarms.js';
import { formatAge } from '../../words/durations.js';

const TONE = { critical: 'bad', warning: 'warn' } as const;

/** What is wrong, the most urgent first: what, since when, what happens by itself, and what to do. */
export function AlarmList({ overview }: { readonly overview: Overview }) {
  const { alarms, alarmsTotal } = overview;
  const hidden = alarmsTotal - alarms.length;
  return (
    <section aria-labelledby="attention" class={alarms.length > 0 ? 'section section-alarm' : 'section'}>
      <h2 id="attention">
        Needs attention <span class="count">{alarmsTotal}</span>
        {alarms.length > 0 && <span class="quiet tally">: {tallyOf(alarms)}</span>}
      </h2>
      <Table
        caption="Problems that need attention, the most urgent first"
        columns={columnsAt(Date.parse(overview.at))}
        rows={alarms}
        keyOf={({ id }) => id}
        empty="Nothing is wrong. All transactions continue by themselves."
      />
      {hidden > 0 && (
        <p class="more">
          {hidden} more are less urgent: <code>GET /attention</code> lists them. See{' '}
          <a href={transactionsHref({ show: 'stalled', order: 'oldest' })}>all stalled</a>,{' '}
          <a href={transactionsHref({ show: 'inDoubt', order: 'oldest' })}>all in doubt</a>,{' '}
          <a href={transactionsHref({ show: 'heuristic', order: 'oldest' })}>all with a report</a>.
        </p>
      )}
    </section>
  );
}

function columnsAt(nowMs: number): Column<OwnedAlarm>[] {
  return [
    {
      head: 'Urgency',
      cell: ({ severity }) => <Mark tone={TONE[severity]}>{severity}</Mark>,
    },
    { head: 'What is wrong', isName: true, cell: (alarm) => <What alarm={alarm} nowMs={nowMs} /> },
    {
      head: 'Since',
      cell: ({ since }) =>
        since === null ? (
          '–'
        ) : (
          <>
            <strong>{formatAge(nowMs - Date.parse(since))}</strong> <Moment iso={since} />
          </>
        ),
    },
    { head: 'What happens by itself', cell: (alarm) => wordsOf(alarm, nowMs).itself },
    {
      head: 'What to do',
      cell: (alarm) => (
        <>
          <p>{wordsOf(alarm, nowMs).todo}</p>
          <p>
            <a href={runbookHref(alarm.name)}>Runbook: {alarm.name}</a>
          </p>
          <GroupButtons alarm={alarm} />
        </>
      ),
    },
  ];
}

function What({ alarm, nowMs }: { readonly alarm: OwnedAlarm; readonly nowMs: number }) {
  const { unit, id, oldest, count, cause, members } = alarm;
  const { what } = wordsOf(alarm, nowMs);
  return (
    <>
      {unit === 'transactions' ? <a href={transactionsHref({ alarm: id, order: 'oldest' })}>{what}</a> : what}
      {cause !== null && <p class="quiet cause">{cause}</p>}
      {oldest !== null && (
        <p class="quiet">
          {count === 1 ? '' : 'The oldest: '}
          <a class="mono id" href={transactionHref(oldest)}>
            {oldest}
          </a>
        </p>
      )}
      {members.length > 0 && <p class="quiet">At {members.join('; ')}</p>}
    </>
  );
}
