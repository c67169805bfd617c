import { useEffect, useState } from 'preact/hooks';
import { useLive } from '../../live/use-live.js';
import { formatSetting } from '../../words/durations.js';
import { type Filters, SHOW_CHOICES, STATE_CHOICES, fieldOf, momentIn } from './filters.js';

interface Props {
  readonly filters: Filters;
  readonly onChange: (filters: Filters) => void;
}

const TYPING_PAUSE_MS = 300;
/** In milliseconds. */
const AGES: readonly (readonly [value: string, label: string])[] = [
  ['1000', '1 second'],
  ['10000', '10 seconds'],
  ['60000', '1 minute'],
  ['600000', '10 minutes'],
  ['3600000', '1 hour'],
  ['86400000', '1 day'],
];

/** Filters the list. A change takes effect at once; a text after a pause in typing. */
export function FilterForm({ filters, onChange }: Props) {
  const { overview } = useLive();
  const names = overview?.participants.map(({ name }) => name) ?? [];
  const participants = [...new Set([...names, filters.participant])].filter((name) => name !== '');
  const change = (part: Partial<Filters>): void => onChange({ ...filters, ...part });
  return (
    <form
      class="filters"
      role="search"
      aria-label="Filter transactions"
      onSubmit={(event) => event.preventDefault()}
    >
      <TextField
        label="Search"
        hint="id, key, trace"
        value={filters.search}
        onChange={(search) => change({ search })}
      />
      <Choice
        label="State"
        value={filters.state}
        choices={STATE_CHOICES.map((state) => [state, state.toLowerCase()])}
        onChange={(state) => change({ state })}
      />
      <Choice
        label="Show"
        value={filters.show}
        choices={Object.entries(SHOW_CHOICES)}
        onChange={(show) => change({ show })}
      />
      <TextField label="Exact name" value={filters.name} onChange={(name) => change({ name })} />
      <TextField
        label="Attribute"
        hint="orderId=4711"
        value={filters.attribute}
        onChange={(attribute) => change({ attribute })}
      />
      <Choice
        label="Participant"
        value={filters.participant}
        choices={participants.map((name) => [name, name])}
        onChange={(participant) => change({ participant })}
      />
      <label class="field">
        Order
        <select value={filters.order} onChange={(event) => change({ order: event.currentTarget.value })}>
          <option value="">youngest first</option>
          <option value="oldest">oldest first</option>
        </select>
      </label>
      <MoreFilters filters={filters} change={change} />
    </form>
  );
}

/** Those that are needed less often. They are open while one of them is active. */
function MoreFilters({
  filters,
  change,
}: {
  readonly filters: Filters;
  readonly change: (part: Partial<Filters>) => void;
}) {
  const { cause, startedAfter, startedBefore, minAgeMs, maxAgeMs } = filters;
  const isActive = [cause, startedAfter, startedBefore, minAgeMs, maxAgeMs].some((value) => value !== '');
  const [isOpen, setOpen] = useState(isActive);
  useEffect(() => {
    if (isActive) setOpen(true);
  }, [isActive]);
  return (
    <details class="more-filters" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Cause, time and age</summary>
      <div class="filters">
        <TextField
          label="Cause"
          hint="a part of an error"
          value={cause}
          onChange={(changed) => change({ cause: changed })}
        />
        <TimeField
          label="Began at or after"
          value={startedAfter}
          onChange={(moment) => change({ startedAfter: moment })}
        />
        <TimeField
          label="Began before"
          value={startedBefore}
          onChange={(moment) => change({ startedBefore: moment })}
        />
        <Choice
          label="At least this old"
          value={minAgeMs}
          choices={agesWith(minAgeMs)}
          onChange={(age) => change({ minAgeMs: age })}
        />
        <Choice
          label="At most this old"
          value={maxAgeMs}
          choices={agesWith(maxAgeMs)}
          onChange={(age) => change({ maxAgeMs: age })}
        />
      </div>
    </details>
  );
}

/** @returns the ages that can be chosen, with the one of the address. */
function agesWith(chosen: string): readonly (readonly [value: string, label: string])[] {
  const isKnown = chosen === '' || AGES.some(([value]) => value === chosen);
  return isKnown ? AGES : [...AGES, [chosen, formatSetting(Number(chosen))]];
}

function Choice(props: {
  readonly label: string;
  readonly value: string;
  readonly choices: readonly (readonly [value: string, label: string])[];
  readonly onChange: (value: string) => void;
}) {
  return (
    <label class="field">
      {props.label}
      <select value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)}>
        <option value="">all</option>
        {props.choices.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
}

/** A moment at the place of the user. */
function TimeField({ label, value, onChange }: FieldProps) {
  return (
    <label class="field field-wide">
      {label}
      <input
        type="datetime-local"
        step={1}
        value={fieldOf(value)}
        onChange={(event) => onChange(momentIn(event.currentTarget.value))}
      />
    </label>
  );
}

function TextField({ label, hint, value, onChange }: FieldProps & { readonly hint?: string }) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed.trim() === value) return;
    const timer = setTimeout(() => onChange(typed.trim()), TYPING_PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed, value, onChange]);
  return (
    <label class="field">
      {label}
      <input
        type="search"
        placeholder={hint}
        value={typed}
        maxLength={300}
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
    </label>
  );
}
