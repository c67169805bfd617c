import { PageTitle } from '../../components/page-title.js';
import { useLive } from '../../live/use-live.js';
import { ParticipantCard } from './participant-card.js';
import { RemoteTable } from './remote-table.js';

/** Every participant, with its options, its counts, and the button that pauses it. */
export function ParticipantsPage() {
  const { overview } = useLive();
  return (
    <>
      <PageTitle title="Participants" />
      {overview === null && <p>Waiting for the coordinator…</p>}
      {overview?.participants.length === 0 && <p class="empty">No participant is registered.</p>}
      {overview !== null && (
        <RemoteTable
          participants={overview.participants}
          nowMs={Date.parse(overview.at)}
          version={overview.coordinator.version}
        />
      )}
      <div class="cards">
        {overview?.participants.map((participant) => (
          <ParticipantCard key={participant.name} participant={participant} />
        ))}
      </div>
    </>
  );
}
