import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';
import type { Action } from './actions/action.js';
import { ActionDialog } from './actions/action-dialog.js';
import { ActionsContext, type AskForAction } from './actions/use-actions.js';
import { Announcer, useAnnouncements } from './components/announcer.js';
import { ConnectionBanner } from './components/connection-banner.js';
import { Header } from './components/header.js';
import { focusHeading } from './focus.js';
import { LiveContext, useLiveFeed } from './live/use-live.js';
import { Page } from './pages/page.js';
import { useRoute } from './route.js';
import { useSession } from './session.js';
import { zoneOf } from './words/moments.js';

interface Question {
  readonly action: Action;
  readonly onDone: () => void;
}

/** The page for a user who is signed in. */
export function App({ onUnauthenticated }: { readonly onUnauthenticated: () => void }) {
  const { client, access } = useSession();
  const live = useLiveFeed(client, onUnauthenticated);
  const route = useRoute();
  const [question, setQuestion] = useState<Question | null>(null);
  const [announcement, announce] = useAnnouncements(live);
  const ask = useCallback<AskForAction>((action, onDone) => setQuestion({ action, onDone }), []);
  const askIfAllowed = useMemo(() => (access.role === 'operator' ? ask : null), [access.role, ask]);

  useEffect(() => {
    // The button that opened the dialog may have disappeared: the focus then moves to the heading.
    if (question === null && document.activeElement === document.body) focusHeading();
  }, [question]);

  return (
    <LiveContext.Provider value={live}>
      <ActionsContext.Provider value={askIfAllowed}>
        <Header route={route} />
        <ConnectionBanner />
        <main id="main" tabIndex={-1}>
          <Page route={route} />
        </main>
        <footer class="quiet">
          Times are those of {zoneOf(new Date())}. Each shows its moment in UTC under the pointer.
        </footer>
        <Announcer text={announcement} />
        {question !== null && (
          <ActionDialog
            client={client}
            action={question.action}
            onClose={() => setQuestion(null)}
            onDone={(message) => {
              announce(message);
              question.onDone();
            }}
          />
        )}
      </ActionsContext.Provider>
    </LiveContext.Provider>
  );
}
