import { useEffect, useState } from 'preact/hooks';
import { useLive } from '../../live/use-live.js';
import { type Filters, SHOW_CHOICES, STATE_CHOICES } from './filters.js';

interface Props {
  readonly filters: Filters;
  readonly onChange: (filters: Filters) => void;
}

const TYPING_PAUSE_MS = 300;

/** Filters the list. A change takes effect at once; a name after a pause in typing. */
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
    </form>
  );
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

function TextField({
  label,
  hint,
  value,
  onChange,
}: {
  readonly label: string;
  readonly hint?: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
}) {
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
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
    </label>
  );
}
