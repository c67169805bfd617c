import { useAnswer } from '../../api/use-answer.js';
import type { DatabaseView, DatabasesView } from '../../api/views.js';
import { LoadedPage } from '../../components/loaded-page.js';
import { Moment } from '../../components/moment.js';
import { Words } from '../../components/words.js';
import { databasesWords } from '../../words/databases.js';
import { formatCount } from '../../words/numbers.js';
import { PreparedTable } from './prepared-table.js';
import { WaitTable } from './wait-table.js';

const REFRESH_MS = 10_000;

/** What the databases of the participants themselves say: what is prepared there, and who waits for whom. */
export function DatabasesPage() {
  const loaded = useAnswer<DatabasesView>('databases', REFRESH_MS);
  return (
    <LoadedPage title="Databases" loaded={loaded}>
      {(view) => <Databases view={view} />}
    </LoadedPage>
  );
}

function Databases({ view }: { readonly view: DatabasesView }) {
  const { at, databases, unseen } = view;
  return (
    <>
      <p>
        {databasesWords(view)}{' '}
        <span class="quiet">
          As of <Moment iso={at} />. A decided branch ends by itself when the coordinator reaches its
          database.
        </span>
      </p>
      {databases.map((database, index) => (
        <Database
          key={`${database.title} ${database.participants.join(' ')}`}
          database={database}
          index={index}
        />
      ))}
      {unseen.length > 0 && (
        <section aria-labelledby="unseen" class="section">
          <h2 id="unseen">Not shown</h2>
          <ul class="plain">
            {unseen.map(({ participant, why }) => (
              <li key={participant}>
                <strong>{participant}</strong>: <Words>{why}</Words>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

function Database({ database, index }: { readonly database: DatabaseView; readonly index: number }) {
  const { title, participants, problem, prepared, preparedTotal, waits, waitsTotal, notes } = database;
  const id = `database-${index}`;
  return (
    <section aria-labelledby={id} class={problem === null ? 'section' : 'section section-alarm'}>
      <h2 id={id}>
        <Words>{title}</Words> <span class="count">{participants.join(', ')}</span>
      </h2>
      {problem === null ? (
        <>
          <PreparedTable title={title} prepared={prepared} waits={waits} />
          <Hidden shown={prepared.length} total={preparedTotal} />
          {waits.length > 0 && <WaitTable title={title} waits={waits} />}
          <Hidden shown={waits.length} total={waitsTotal} />
          {notes.map((note) => (
            <p key={note} class="more">
              <Words>{note}</Words>
            </p>
          ))}
        </>
      ) : (
        <p class="more problem">
          It cannot be seen now: <Words>{problem}</Words>
        </p>
      )}
    </section>
  );
}

function Hidden({ shown, total }: { readonly shown: number; readonly total: number }) {
  return total > shown ? <p class="more">{formatCount(total - shown)} more are not shown.</p> : null;
}
