import type { HistoryPage } from '../../api/views.js';
import { Moment } from '../../components/moment.js';
import { type Course, abortsOf, coursesOf, placeOf } from '../../words/history.js';
import { formatCount } from '../../words/numbers.js';

const WIDTH = 720;
const HEIGHT = 60;

/** The last hour of this member, for an operator who comes late. */
export function LastHour({ history, nowMs }: { readonly history: HistoryPage; readonly nowMs: number }) {
  const { marks, startedAt } = history;
  const moments = [...(placeOf(startedAt, nowMs) > 0 ? [startedAt] : []), ...marks.map(({ at }) => at)];
  const places = moments.map((at) => placeOf(at, nowMs));
  return (
    <section aria-labelledby="last-hour" class="section">
      <h2 id="last-hour">Last hour</h2>
      <div class="courses">
        {coursesOf(history, nowMs).map((course) => (
          <CourseLine key={course.name} course={course} marked={places} />
        ))}
      </div>
      <p>{abortsOf(history)}</p>
      <ul class="quiet">
        <li>
          Started at <Moment iso={startedAt} />
        </li>
        {marks.map(({ at, action, target, by }) => (
          <li key={`${at}${action}${target}`}>
            <Moment iso={at} />: {action} {target}, by {by}
          </li>
        ))}
      </ul>
    </section>
  );
}

function CourseLine({ course, marked }: { readonly course: Course; readonly marked: readonly number[] }) {
  const { name, points, highest, text } = course;
  const top = Math.max(1, highest);
  const line = points.map(([place, value]) => {
    const y = HEIGHT - 1 - (value / top) * (HEIGHT - 3);
    return `${(place * WIDTH).toFixed(1)},${y.toFixed(1)}`;
  });
  return (
    <figure class="course">
      <figcaption>
        {name} <span class="quiet">at most {formatCount(Math.round(highest))}</span>
      </figcaption>
      <svg
        class="sparkline"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={text}
      >
        <path class="sparkline-base" d={`M0 ${HEIGHT - 0.5}H${WIDTH}`} />
        {marked.map((place) => (
          <path key={place} class="course-mark" d={`M${(place * WIDTH).toFixed(1)} 0V${HEIGHT}`} />
        ))}
        {line.length > 1 && <polyline points={line.join(' ')} />}
      </svg>
    </figure>
  );
}
