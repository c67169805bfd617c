import type { TimelineEntry, TransactionView } from '../../api/views.js';
import { type Column, Table } from '../../components/table.js';
import { formatDuration } from '../../words/durations.js';
import { describeEvent } from './timeline/event-words.js';

interface Row {
  readonly key: string;
  readonly entry: TimelineEntry;
  readonly participant: string | undefined;
}

/** The content of the picture as text, in order. */
export function EventTable({
  transaction: { timeline, branches },
}: {
  readonly transaction: TransactionView;
}) {
  const rows = timeline.map((entry, index) => ({
    key: String(index),
    entry,
    participant: branches.find(({ branchId }) => branchId === entry.branchId)?.participant,
  }));
  return (
    <Table
      caption="The events of this transaction, in order"
      columns={COLUMNS}
      rows={rows}
      keyOf={({ key }) => key}
    />
  );
}

const TOLD_IN_THE_EVENT = new Set(['begun', 'voted', 'decided']);

const COLUMNS: readonly Column<Row>[] = [
  { head: 'After', isNumber: true, isName: true, cell: ({ entry }) => formatDuration(entry.atMs) },
  { head: 'Who', cell: ({ entry, participant }) => participant ?? entry.branchId ?? 'transaction' },
  { head: 'What', cell: ({ entry }) => describeEvent(entry) },
  { head: 'Detail', cell: ({ entry }) => (TOLD_IN_THE_EVENT.has(entry.event) ? '' : (entry.detail ?? '')) },
];
