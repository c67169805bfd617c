import type { ComponentChildren } from 'preact';
import type { Overview } from '../../api/views.js';
import { Sparkline } from '../../components/sparkline.js';
import { type Sample, ratesOf } from '../../live/rates.js';
import { formatAge } from '../../words/durations.js';
import { formatCount, formatRate, plural } from '../../words/numbers.js';

interface Props {
  readonly overview: Overview;
  readonly samples: readonly Sample[];
}

/** The counts, and the rates per second. */
export function Figures({ overview, samples }: Props) {
  const { condition, statistics } = overview.coordinator;
  const rates = ratesOf(samples);
  const current = rates.at(-1);
  return (
    <section aria-labelledby="figures" class="section">
      <h2 id="figures">Figures</h2>
      <dl class="figures">
        <Figure name="Committed a second" value={current === undefined ? '–' : formatRate(current.committed)}>
          <Sparkline rates={rates} of="committed" label="Committed a second over the last two minutes" />
          {formatCount(statistics.committed)} since the start
        </Figure>
        <Figure name="Aborted a second" value={current === undefined ? '–' : formatRate(current.aborted)}>
          <Sparkline rates={rates} of="aborted" label="Aborted a second over the last two minutes" />
          {formatCount(statistics.aborted)} since the start
        </Figure>
        <Figure name="In flight" value={formatCount(condition.inFlight)}>
          of at most {formatCount(condition.maxInFlight)}
        </Figure>
        <Figure name="In doubt" value={formatCount(condition.inDoubt)} isAlarming={condition.inDoubt > 0}>
          {oldest(condition.oldestInDoubtMs)}
        </Figure>
        <Figure name="Stalled" value={formatCount(condition.stalled)} isAlarming={condition.stalled > 0}>
          {oldest(condition.oldestStalledMs)}
        </Figure>
        <Figure
          name="Heuristic"
          value={formatCount(condition.heuristic)}
          isAlarming={condition.heuristic > 0}
        >
          {plural(statistics.heuristicReports, 'report')} since the start
        </Figure>
      </dl>
      <dl class="counts">
        <Count name="told pending" value={statistics.pending} />
        <Count name="refusals" value={statistics.refusals} />
        <Count name="time-outs" value={statistics.timeouts} />
        <Count name="late answers" value={statistics.lateAnswers} />
        <Count name="retries" value={statistics.retries} />
        <Count name="orphans" value={statistics.orphans} />
        <Count name="defects" value={statistics.defects} />
      </dl>
    </section>
  );
}

function Figure(props: {
  readonly name: string;
  readonly value: string;
  readonly isAlarming?: boolean;
  readonly children: ComponentChildren;
}) {
  return (
    <div class={props.isAlarming === true ? 'figure figure-alarm' : 'figure'}>
      <dt>{props.name}</dt>
      <dd>
        <span class="value">{props.value}</span>
        <span class="quiet">{props.children}</span>
      </dd>
    </div>
  );
}

function Count({ name, value }: { readonly name: string; readonly value: number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{formatCount(value)}</dd>
    </div>
  );
}

function oldest(ms: number | null): string {
  return ms === null ? 'none' : `the oldest for ${formatAge(ms)}`;
}
