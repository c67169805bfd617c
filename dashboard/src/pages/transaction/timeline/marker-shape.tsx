import type { Marker } from './picture.js';

interface Props {
  readonly marker: Marker;
  readonly x: number;
  readonly y: number;
  /** Whether there is room for the number of a failed attempt. */
  readonly isNumbered: boolean;
}

/** One event. Its shape shows the kind, its colour only helps; its text appears under the pointer. */
export function MarkerShape({ marker, x, y, isNumbered }: Props) {
  return (
    <g class={`marker marker-${marker.kind}`} transform={`translate(${x} ${y})`}>
      <title>{marker.label}</title>
      <Shape kind={marker.kind} />
      {marker.kind === 'failed' && isNumbered && marker.attempt !== undefined && (
        <text y={-9}>{marker.attempt}</text>
      )}
    </g>
  );
}

/** The shape alone, around the origin. */
export function Shape({ kind }: { readonly kind: Marker['kind'] }) {
  switch (kind) {
    case 'yes':
    case 'done':
      return (
        <>
          <circle r={7} />
          <path class="tick-mark" d="M-3.2 0.2L-0.8 2.8L3.4 -2.6" />
        </>
      );
    case 'read-only':
      return <circle r={5.5} />;
    case 'no':
      return (
        <>
          <circle r={7} />
          <path class="tick-mark" d="M-2.8 -2.8L2.8 2.8M2.8 -2.8L-2.8 2.8" />
        </>
      );
    case 'failed':
      return <path d="M-4 -4L4 4M4 -4L-4 4" />;
    case 'stalled':
      return <path d="M0 -7.5L7.5 6H-7.5Z" />;
    case 'heuristic':
      return <path d="M0 -8L8 0L0 8L-8 0Z" />;
    case 'next':
      return <circle r={6} />;
    case 'other':
      return <circle r={3.5} />;
  }
}
