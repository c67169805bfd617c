import { useLinks } from '../api/use-links.js';
import { useLive } from '../live/use-live.js';
import type { Route } from '../route.js';
import { useSession } from '../session.js';

const PAGES = [
  { href: '#/', label: 'Overview', routes: ['overview'] },
  { href: '#/transactions', label: 'Transactions', routes: ['transactions', 'transaction'] },
  { href: '#/participants', label: 'Participants', routes: ['participants'] },
  { href: '#/groups', label: 'Groups', routes: ['groups'] },
  { href: '#/databases', label: 'Databases', routes: ['databases'] },
  { href: '#/messages', label: 'Messages', routes: ['messages'] },
  { href: '#/audit', label: 'Audit', routes: ['audit'] },
] as const;

/** The coordinator's name, the present page, and the user. */
export function Header({ route }: { readonly route: Route }) {
  const { overview } = useLive();
  const { pages } = useLinks();
  return (
    <header class="header">
      <a class="skip" href="#main" onClick={skipToMain}>
        Skip to the content
      </a>
      <p class="brand">
        <strong>{overview?.coordinator.name ?? 'Coordinator'}</strong>
        <Pulse />
      </p>
      <nav aria-label="Pages">
        {PAGES.map(({ href, label, routes }) => {
          const isHere = (routes as readonly string[]).includes(route.page);
          return (
            <a key={href} href={href} aria-current={isHere ? 'page' : undefined}>
              {label}
              {href === '#/' && overview !== null && overview.alarmsTotal > 0 && (
                <span class="badge">
                  {overview.alarmsTotal}
                  <span class="visually-hidden"> problems need attention</span>
                </span>
              )}
            </a>
          );
        })}
        {pages.map(({ label, url }) => (
          <a key={label} href={url}>
            {label}
          </a>
        ))}
      </nav>
      <Identity />
    </header>
  );
}

/** The address after `#` selects a page, so the link must not change it. */
function skipToMain(event: Event): void {
  event.preventDefault();
  document.querySelector<HTMLElement>('#main')?.focus();
}

function Pulse() {
  const { connection } = useLive();
  const words = { connecting: 'connecting', live: 'live', lost: 'not connected' }[connection.kind];
  return <span class={`pulse pulse-${connection.kind}`}>{words}</span>;
}

function Identity() {
  const { access, askForToken, signOut } = useSession();
  if (access.role === 'anyone') {
    return (
      <p class="identity">
        <span>read only</span>
        <button type="button" class="button button-quiet" onClick={askForToken}>
          Use a token
        </button>
      </p>
    );
  }
  return (
    <p class="identity">
      <span>
        <strong>{access.name}</strong>, {access.role === 'operator' ? 'operator' : 'read only'}
      </span>
      <button type="button" class="button button-quiet" onClick={signOut}>
        Sign out
      </button>
    </p>
  );
}
