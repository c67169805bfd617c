import { ActionButton } from '../../actions/action-button.js';
import { actionOfParticipant } from '../../actions/service-actions.js';
import type { ParticipantView } from '../../api/views.js';
import { Mark } from '../../components/marks.js';
import { Moment } from '../../components/moment.js';
import { transactionsHref } from '../../route.js';
import { formatSetting } from '../../words/durations.js';
import { formatLatency } from '../../words/latency.js';
import { formatCount } from '../../words/numbers.js';

/** The details of one participant. */
export function ParticipantCard({ participant }: { readonly participant: ParticipantView }) {
  const { name, className, paused, silent, latency } = participant;
  return (
    <article class="card" aria-labelledby={`participant-${name}`}>
      <header class="card-head">
        <h2 id={`participant-${name}`}>{name}</h2>
        <span class="mono quiet">{className}</span>
        {paused !== null && <Mark tone="warn">paused</Mark>}
        {silent !== null && <Mark tone="bad">does not answer</Mark>}
        <ActionButton action={actionOfParticipant(participant)} onDone={() => undefined} />
      </header>
      {paused !== null && (
        <p class="warning">
          Paused by <strong>{paused.by}</strong> since <Moment iso={paused.since} />: {paused.reason}
        </p>
      )}
      {silent !== null && (
        <p class="warning">
          It has answered none of its prepares in time since <Moment iso={silent.since} />. Most transactions
          that need it are refused until it answers.
        </p>
      )}
      <dl class="facts">
        <Fact name="Prepare p50 / p99" value={formatLatency(latency.prepare)} />
        <Fact name="Completion p50 / p99" value={formatLatency(latency.completion)} />
        {countsOf(participant).map(([fact, count]) => (
          <Fact
            key={fact}
            name={fact}
            value={formatCount(count)}
            isAlarming={fact === 'Stalled' && count > 0}
          />
        ))}
      </dl>
      <p class="quiet options">{optionsOf(participant)}</p>
      <p class="more">
        <a href={transactionsHref({ participant: name })}>Transactions of {name}</a>
      </p>
    </article>
  );
}

function Fact(props: { readonly name: string; readonly value: string; readonly isAlarming?: boolean }) {
  return (
    <div class={props.isAlarming === true ? 'fact-alarm' : undefined}>
      <dt>{props.name}</dt>
      <dd>{props.value}</dd>
    </div>
  );
}

function countsOf({ counts }: ParticipantView): [string, number][] {
  return [
    ['Votes to commit', counts.commitVotes],
    ['Votes read-only', counts.readOnlyVotes],
    ['Refusals', counts.refusals],
    ['Failures', counts.failures],
    ['Time-outs', counts.timeouts],
    ['Late answers', counts.lateAnswers],
    ['Late failures', counts.lateFailures],
    ['Committed', counts.committed],
    ['Rolled back', counts.rolledBack],
    ['Failed attempts', counts.failedAttempts],
    ['Heuristic reports', counts.heuristicReports],
    ['Stalled', counts.stalled],
  ];
}

function optionsOf(participant: ParticipantView): string {
  const { prepareTimeoutMs, completionTimeoutMs, maxAttempts, retryBaseMs, retryCapMs } = participant;
  const kinds = [
    participant.onePhase && 'commits in one phase',
    participant.ambient && 'joins ambient transactions',
  ];
  return [
    `prepare within ${formatSetting(prepareTimeoutMs)}`,
    `each completion within ${formatSetting(completionTimeoutMs)}`,
    `stalled after ${formatCount(maxAttempts)} attempts, ${formatSetting(retryBaseMs)} to ${formatSetting(retryCapMs)} apart`,
    ...kinds.filter((kind) => kind !== false),
  ].join(' · ');
}
