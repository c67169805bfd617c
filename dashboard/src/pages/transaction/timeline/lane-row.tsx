import { MarkerShape } from './marker-shape.js';
import type { Lane, Span } from './picture.js';
import { type Scale, ticksOf } from './scale.js';

interface Props {
  readonly lane: Lane;
  readonly scale: Scale;
  readonly top: number;
  readonly height: number;
  readonly width: number;
  /** The name is above the lane, not before it. */
  readonly isNarrow: boolean;
}

const THICKNESS: Readonly<Record<Span['kind'], number>> = { preparing: 12, prepared: 6, owed: 2 };
const MAX_LABEL_CHARS = 24;
/** The room of the number of an attempt, in pixels. */
const LEAST_BETWEEN_NUMBERS = 20;

/** The events of one branch, from left to right. */
export function LaneRow({ lane, scale, top, height, width, isNarrow }: Props) {
  const middle = middleOf(top, height, isNarrow);
  const failed = lane.markers.filter(({ kind }) => kind === 'failed').map(({ atMs }) => atMs);
  const numbered = new Set(ticksOf(failed, scale, LEAST_BETWEEN_NUMBERS));
  return (
    <g>
      <path class="lane-rule" d={`M0 ${top + height}H${width}`} />
      {lane.spans.map(({ kind, fromMs, toMs }) => (
        <rect
          key={kind}
          class={`span span-${kind}`}
          x={scale(fromMs)}
          y={middle - THICKNESS[kind] / 2}
          width={Math.max(1, scale(toMs) - scale(fromMs))}
          height={THICKNESS[kind]}
          rx={THICKNESS[kind] / 3}
        />
      ))}
      {lane.markers.map((marker, index) => (
        <MarkerShape
          key={index}
          marker={marker}
          x={scale(marker.atMs)}
          y={middle}
          isNumbered={numbered.has(marker.atMs)}
        />
      ))}
    </g>
  );
}

/** The participant of the branch, and its state. */
export function LaneLabel({ lane, top, height, width, isNarrow }: Omit<Props, 'scale'>) {
  const { participant, branchId, state } = lane.branch;
  const middle = middleOf(top, height, isNarrow);
  return (
    <g class="lane-label">
      <text class="lane-name" x={0} y={isNarrow ? top + 18 : middle - 1}>
        {shortened(participant)}
      </text>
      <text
        x={isNarrow ? width : 0}
        y={isNarrow ? top + 18 : middle + 14}
        text-anchor={isNarrow ? 'end' : 'start'}
      >
        {state}
        {branchId === participant ? '' : `, ${shortened(branchId)}`}
      </text>
    </g>
  );
}

function middleOf(top: number, height: number, isNarrow: boolean): number {
  return isNarrow ? top + height - 20 : top + height / 2;
}

function shortened(text: string): string {
  return text.length <= MAX_LABEL_CHARS ? text : `${text.slice(0, MAX_LABEL_CHARS - 1)}…`;
}
