import { useLive } from '../live/use-live.js';
import { useMonotonicNow } from '../live/use-monotonic-now.js';
import { formatAge } from '../words/durations.js';

/** Reports that the connection is lost, the age of the shown data, and the time of the next attempt. */
export function ConnectionBanner() {
  const { connection } = useLive();
  return (
    <div role="alert" class="banner-place">
      {connection.kind === 'lost' && <Lost why={connection.why} retryAtMs={connection.retryAtMs} />}
    </div>
  );
}

function Lost({ why, retryAtMs }: { readonly why: string; readonly retryAtMs: number | null }) {
  const { overview, retryNow } = useLive();
  return (
    <div class="banner">
      <p>
        <strong>Connection lost.</strong>{' '}
        {overview === null ? 'Nothing is known yet.' : 'The shown data are old and do not change.'} {why}
      </p>
      {/* These words change every second, and should not be read out each time. */}
      <p aria-hidden="true">
        <Staleness retryAtMs={retryAtMs} />
      </p>
      <button type="button" class="button" onClick={retryNow}>
        Connect now
      </button>
    </div>
  );
}

function Staleness({ retryAtMs }: { readonly retryAtMs: number | null }) {
  const { overview, receivedAtMs } = useLive();
  const nowMs = useMonotonicNow();
  const age = overview === null ? '' : `The data is ${formatAge(nowMs - receivedAtMs)} old. `;
  if (retryAtMs === null) return <>{age}It is not tried again by itself.</>;
  const leftMs = retryAtMs - nowMs;
  return (
    <>
      {age}
      {leftMs > 0 ? `Next attempt in ${formatAge(leftMs + 999)}.` : 'Trying…'}
    </>
  );
}
