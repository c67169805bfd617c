import type { ComponentChildren } from 'preact';
import { Words } from '../../components/words.js';
import { useLive } from '../../live/use-live.js';
import { transactionHref } from '../../route.js';
import { headlineOf } from '../../words/alarms.js';
import type { Filters } from './filters.js';

interface Props {
  readonly filters: Filters;
  readonly onChange: (filters: Filters) => void;
}

/**
 * Says of which problem or group the listed transactions are, which no field of the form shows, and leaves it
 * again.
 */
export function SubsetNotes({ filters, onChange }: Props) {
  const { overview } = useLive();
  const { alarm, group } = filters;
  const found = overview?.alarms.find(({ id }) => id === alarm);
  return (
    <>
      {alarm !== '' && (
        <Note leave="Leave this problem" onClear={() => onChange({ ...filters, alarm: '' })}>
          Only the transactions of one problem:{' '}
          <Words>
            {found === undefined || overview === null
              ? 'it is over, or not among the most urgent ones now'
              : headlineOf(found, Date.parse(overview.at))}
          </Words>
        </Note>
      )}
      {group !== '' && (
        <Note leave="Leave this group" onClear={() => onChange({ ...filters, group: '' })}>
          Only the group{' '}
          <a class="mono" href={transactionHref(group)}>
            <Words>{group}</Words>
          </a>{' '}
          and its members
        </Note>
      )}
    </>
  );
}

interface NoteProps {
  /** What the button says. */
  readonly leave: string;
  readonly onClear: () => void;
  readonly children: ComponentChildren;
}

function Note({ leave, onClear, children }: NoteProps) {
  return (
    <p class="subset-note">
      <span>{children}</span>
      <button type="button" class="button" onClick={onClear}>
        {leave}
      </button>
    </p>
  );
}
