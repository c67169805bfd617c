import { ActionButton } from '../../actions/action-button.js';
import { actionOfMember } from '../../actions/service-actions.js';
import { useAskForAction } from '../../actions/use-actions.js';
import type { MemberNow, MembersNow } from '../../api/views.js';
import { Mark } from '../../components/marks.js';
import { Words } from '../../components/words.js';
import { adoptedBy } from '../../words/owners.js';
import { type Column, Table } from '../../components/table.js';
import { formatAge, formatSetting } from '../../words/durations.js';
import { formatCount } from '../../words/numbers.js';

const TONE = { alive: 'good', lost: 'bad', fenced: 'warn', adopted: 'warn' } as const;

/** The members that share the log, one line each. Nothing where the log is not shared. */
export function MembersGlance({ members }: { readonly members: MembersNow }) {
  const mayAct = useAskForAction() !== null;
  if (!members.shared) return null;
  return (
    <section aria-labelledby="members" class="section">
      <h2 id="members">Members</h2>
      <Table
        caption="Members that share the log, with their epochs and leases"
        columns={mayAct ? [...columnsOf(members), ACTIONS] : columnsOf(members)}
        rows={members.members}
        keyOf={({ epoch }) => String(epoch)}
        empty="The log has not listed the members yet."
      />
      <p class="quiet">
        This member has adopted {formatCount(members.adoptions)} epochs, and was fenced{' '}
        {formatCount(members.returns)} times. A lease lasts {formatSetting(members.leaseMs)}.
      </p>
    </section>
  );
}

function columnsOf({ members }: MembersNow): readonly Column<MemberNow>[] {
  return [
    {
      head: 'Member',
      isName: true,
      cell: ({ member, self, address }) => (
        <span class="marks">
          {member === '' ? 'no name' : member} {self && <Mark tone="neutral">this one</Mark>}
          {address !== null && (
            <span class="quiet">
              <Words>{address}</Words>
            </span>
          )}
        </span>
      ),
    },
    { head: 'Epoch', isNumber: true, cell: ({ epoch }) => String(epoch) },
    {
      head: 'State',
      cell: ({ state, draining, adoptedBy, problem }) => (
        <span class="marks">
          <Mark tone={TONE[state]}>{adoptedBy === null ? state : `${state} by epoch ${adoptedBy}`}</Mark>
          {draining && <Mark tone="warn">draining</Mark>}
          {problem !== null && <span class="quiet">{problem}</span>}
        </span>
      ),
    },
    { head: 'Version', cell: ({ version }) => version ?? '–' },
    { head: 'Has adopted', cell: ({ epoch }) => adoptedBy(members, epoch) },
    { head: 'Lease age', isNumber: true, cell: ({ leaseAgeMs }) => formatAge(leaseAgeMs) },
    { head: 'In flight', isNumber: true, cell: ({ condition }) => countOf(condition?.inFlight) },
    { head: 'In doubt', isNumber: true, cell: ({ condition }) => countOf(condition?.inDoubt) },
    { head: 'Stalled', isNumber: true, cell: ({ condition }) => countOf(condition?.stalled) },
  ];
}

const ACTIONS: Column<MemberNow> = {
  head: 'New work',
  cell: (member) =>
    member.state === 'alive' ? (
      <ActionButton action={actionOfMember(member)} onDone={() => undefined} />
    ) : (
      <span class="quiet">–</span>
    ),
};

function countOf(count: number | undefined): string {
  return count === undefined ? '–' : formatCount(count);
}
