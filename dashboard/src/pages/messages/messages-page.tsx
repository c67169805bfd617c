import { ActionButton } from '../../actions/action-button.js';
import { MAX_MESSAGES, resend } from '../../actions/message-actions.js';
import { useAnswer } from '../../api/use-answer.js';
import type { DeadMessagePage, OutboxView } from '../../api/views.js';
import { LoadedPage } from '../../components/loaded-page.js';
import { Problem } from '../../components/problem.js';
import { Words } from '../../components/words.js';
import { outboxWords } from '../../words/messages.js';
import { DeadTable } from './dead-table.js';

const REFRESH_MS = 10_000;

/** The outboxes of this process, and the messages that are not sent by themselves any more. */
export function MessagesPage() {
  const loaded = useAnswer<{ outboxes: readonly OutboxView[] }>('outboxes', REFRESH_MS);
  return (
    <LoadedPage title="Messages" loaded={loaded}>
      {({ outboxes }) =>
        outboxes.length === 0 ? (
          <p>This process has no outbox. Where messages are written, give OutboxModule to the application.</p>
        ) : (
          outboxes.map((outbox) => <Outbox key={outbox.name} outbox={outbox} onDone={loaded.reload} />)
        )
      }
    </LoadedPage>
  );
}

interface Props {
  readonly outbox: OutboxView;
  readonly onDone: () => void;
}

function Outbox({ outbox, onDone }: Props) {
  const id = `outbox-${outbox.name}`;
  const isGood = outbox.problem === null && (outbox.held?.dead ?? 0) === 0;
  return (
    <section aria-labelledby={id} class={isGood ? 'section' : 'section section-alarm'}>
      <h2 id={id}>{outbox.name}</h2>
      <p class="more">
        <Words>{outboxWords(outbox)}</Words>
      </p>
      {/* Where its database is away, that is said, and it is not asked once more. */}
      {outbox.problem === null && <DeadMessages outbox={outbox} onDone={onDone} />}
    </section>
  );
}

function DeadMessages({ outbox: { name }, onDone }: Props) {
  const path = `outboxes/${encodeURIComponent(name)}/dead?limit=${MAX_MESSAGES}`;
  const { answer, problem, reload } = useAnswer<DeadMessagePage>(path, REFRESH_MS);
  const done = (): void => {
    reload();
    onDone();
  };
  return (
    <>
      <Problem text={problem} />
      {answer !== null && <DeadTable outbox={name} messages={answer.messages} onDone={done} />}
      {answer !== null && answer.nextCursor !== null && (
        <p class="more">There are more. When these are dealt with, the next ones are shown.</p>
      )}
      {answer !== null && answer.messages.length > 1 && (
        <p class="more">
          <ActionButton
            action={resend(
              name,
              answer.messages.map((message) => message.id),
              true,
            )}
            onDone={done}
          />
        </p>
      )}
    </>
  );
}
