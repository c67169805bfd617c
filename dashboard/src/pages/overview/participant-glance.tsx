import type { ParticipantView } from '../../api/views.js';
import { Mark } from '../../components/marks.js';
import { type Column, Table } from '../../components/table.js';
import { formatLatency } from '../../words/latency.js';
import { formatCount } from '../../words/numbers.js';

/** The participants, one line each. */
export function ParticipantGlance({ participants }: { readonly participants: readonly ParticipantView[] }) {
  return (
    <section aria-labelledby="glance" class="section">
      <h2 id="glance">Participants</h2>
      <Table
        caption="Participants, with their latency and their failures"
        columns={COLUMNS}
        rows={participants}
        keyOf={({ name }) => name}
        empty="No participant is registered."
      />
      <p class="more">
        <a href="#/participants">All about the participants</a>
      </p>
    </section>
  );
}

const COLUMNS: readonly Column<ParticipantView>[] = [
  {
    head: 'Participant',
    isName: true,
    cell: ({ name, paused, silent }) => (
      <span class="marks">
        {name} {paused !== null && <Mark tone="warn">paused</Mark>}
        {silent !== null && <Mark tone="bad">does not answer</Mark>}
      </span>
    ),
  },
  { head: 'Prepare p50 / p99', isNumber: true, cell: ({ latency }) => formatLatency(latency.prepare) },
  { head: 'Completion p50 / p99', isNumber: true, cell: ({ latency }) => formatLatency(latency.completion) },
  { head: 'Refusals', isNumber: true, cell: ({ counts }) => formatCount(counts.refusals) },
  { head: 'Failures', isNumber: true, cell: ({ counts }) => formatCount(counts.failures) },
  { head: 'Time-outs', isNumber: true, cell: ({ counts }) => formatCount(counts.timeouts) },
  { head: 'Failed attempts', isNumber: true, cell: ({ counts }) => formatCount(counts.failedAttempts) },
  { head: 'Stalled', isNumber: true, cell: ({ counts }) => formatCount(counts.stalled) },
];
