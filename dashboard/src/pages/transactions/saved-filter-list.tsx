import { useState } from 'preact/hooks';
import { Problem } from '../../components/problem.js';
import { Words } from '../../components/words.js';
import { focusHeading } from '../../focus.js';
import { type Filters, isFiltered } from './filters.js';
import { MAX_NAME_CHARS, deleteFilter, saveFilter, savedFilters } from './saved-filters.js';

/** The filters that this browser keeps, and a form that saves the present one. */
export function SavedFilterList({ filters }: { readonly filters: Filters }) {
  const [saved, setSaved] = useState(() => savedFilters(store));
  const [name, setName] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [done, setDone] = useState('');

  function changed(why: string | undefined, message: string): void {
    setProblem(why ?? null);
    setDone(why === undefined ? message : '');
    setSaved(savedFilters(store));
  }

  function save(event: Event): void {
    event.preventDefault();
    const why = saveFilter(store, name, filters);
    changed(why, `The filter ${name.trim()} is saved.`);
    if (why === undefined) setName('');
  }

  function remove(of: string): void {
    changed(deleteFilter(store, of), `The filter ${of} is deleted.`);
    // The button that had the focus is gone.
    focusHeading();
  }

  return (
    <details class="saved-filters">
      <summary>Saved filters ({saved.length})</summary>
      {saved.length > 0 && (
        <ul class="chips">
          {saved.map((one) => (
            <li key={one.name} class="chip">
              <a href={`#/transactions${one.query === '' ? '' : `?${one.query}`}`}>
                <Words>{one.name}</Words>
              </a>
              <button
                type="button"
                class="button button-quiet copy"
                aria-label={`Delete the filter ${one.name}`}
                onClick={() => remove(one.name)}
              >
                Delete
              </button>
            </li>
          ))}
        </ul>
      )}
      {isFiltered({ ...filters, alarm: '', group: '' }) ? (
        <form class="save-filter" onSubmit={save}>
          <label class="field">
            Name of the present filter, without its problem or group
            <input
              required
              maxLength={MAX_NAME_CHARS}
              autocomplete="off"
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          </label>
          <button type="submit" class="button">
            Save
          </button>
        </form>
      ) : (
        <p class="quiet">Choose a filter above, then save it here. This browser keeps it.</p>
      )}
      <Problem text={problem} />
      <p class="visually-hidden" role="status">
        {done}
      </p>
    </details>
  );
}

/** A browser may refuse it. */
function store(): Storage {
  return localStorage;
}
