import { App } from './app.js';
import { TokenForm } from './components/token-form.js';
import { type Entrance, SessionContext, useEntrance } from './session.js';

/** Shows the page to users who may read, and asks all others for a token. */
export function Entry() {
  const { entrance, enter, refuse } = useEntrance();
  if (entrance.kind === 'open') {
    return (
      <SessionContext.Provider value={entrance.session}>
        <App onUnauthenticated={refuse} />
      </SessionContext.Provider>
    );
  }
  return (
    <main class="entry">
      <h1>Transaction coordinator</h1>
      <Door entrance={entrance} enter={enter} />
    </main>
  );
}

function Door({
  entrance,
  enter,
}: {
  readonly entrance: Exclude<Entrance, { kind: 'open' }>;
  readonly enter: (token: string | null) => void;
}) {
  if (entrance.kind === 'asking') return <p role="status">Connecting…</p>;
  if (entrance.kind === 'token-needed') {
    return <TokenForm problem={entrance.problem} canStay={entrance.canStay} onToken={enter} />;
  }
  return (
    <>
      <p class="problem" role="alert">
        {entrance.problem}
      </p>
      <button type="button" class="button button-primary" onClick={() => location.reload()}>
        Try again
      </button>
    </>
  );
}
