import type { TransactionView } from '../../../api/views.js';
import { formatDuration } from '../../../words/durations.js';
import { plural } from '../../../words/numbers.js';
import { LaneLabel, LaneRow } from './lane-row.js';
import { Legend } from './legend.js';
import { pictureOf } from './picture.js';
import { compressedScale, ticksOf } from './scale.js';
import { useWidth } from './use-width.js';

interface Props {
  readonly transaction: TransactionView;
  readonly nowMs: number;
}

const NARROW = 640;
const TOP = 26;
const AXIS = 24;
const LEAST_TICK_DISTANCE = 64;

/** A lane for each branch: its vote, the decision, every attempt to deliver it, and the next. */
export function TimelinePicture({ transaction, nowMs }: Props) {
  const [place, width] = useWidth();
  const { lanes, decision, nowMs: now, moments } = pictureOf(transaction, nowMs);
  const isNarrow = width < NARROW;
  const labelWidth = isNarrow ? 0 : 190;
  const laneHeight = isNarrow ? 58 : 44;
  const bottom = TOP + lanes.length * laneHeight;
  const scale = compressedScale(moments, labelWidth + 14, Math.max(width - 26, labelWidth + 15));
  const rows = lanes.map((lane, index) => ({
    lane,
    top: TOP + index * laneHeight,
    height: laneHeight,
    width,
    isNarrow,
  }));
  return (
    <figure ref={place} class="timeline">
      <svg
        width={width}
        height={bottom + AXIS}
        viewBox={`0 0 ${width} ${bottom + AXIS}`}
        role="img"
        aria-label={`Timeline of ${plural(lanes.length, 'branch').replace('branchs', 'branches')}. The table “What happened” has the same content as text.`}
      >
        {ticksOf(moments, scale, LEAST_TICK_DISTANCE).map((moment) => (
          <Tick key={moment} moment={moment} x={scale(moment)} width={width} top={TOP} bottom={bottom} />
        ))}
        {rows.map((row) => (
          <LaneRow key={row.lane.branch.branchId} scale={scale} {...row} />
        ))}
        {now !== null && (
          <g class="now">
            <path d={`M${scale(now)} ${TOP - 6}V${bottom}`} />
            <text x={scale(now)} y={TOP - 11}>
              now
            </text>
          </g>
        )}
        {decision !== null && (
          <g class="decision">
            <path d={`M${scale(decision.atMs)} ${TOP - 6}V${bottom}`} />
            <text
              x={scale(decision.atMs)}
              y={TOP - 11}
              text-anchor={scale(decision.atMs) < width / 2 ? 'start' : 'end'}
            >
              {decision.what}
            </text>
          </g>
        )}
        {rows.map((row) => (
          <LaneLabel key={row.lane.branch.branchId} {...row} />
        ))}
      </svg>
      <figcaption>
        <Legend /> Time is not to scale: long waits are shortened.
      </figcaption>
    </figure>
  );
}

const TICK_LABEL = 70;

function Tick(props: {
  readonly moment: number;
  readonly x: number;
  readonly width: number;
  readonly top: number;
  readonly bottom: number;
}) {
  const { moment, x, width, top, bottom } = props;
  const isAtEdge = x + TICK_LABEL / 2 > width;
  return (
    <g class={isAtEdge ? 'tick tick-edge' : 'tick'}>
      <path d={`M${x} ${top}V${bottom + 4}`} />
      <text x={isAtEdge ? width : x} y={bottom + 17}>
        {formatDuration(moment)}
      </text>
    </g>
  );
}
