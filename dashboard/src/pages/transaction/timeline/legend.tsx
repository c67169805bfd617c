import { Shape } from './marker-shape.js';
import type { Marker, Span } from './picture.js';

const KINDS: readonly (readonly [kind: Marker['kind'], name: string])[] = [
  ['yes', 'vote to commit'],
  ['read-only', 'read-only'],
  ['no', 'no vote to commit'],
  ['failed', 'failed attempt'],
  ['next', 'next attempt'],
  ['done', 'completed'],
  ['stalled', 'stalled'],
  ['heuristic', 'heuristic'],
];

const SPANS: readonly (readonly [kind: Span['kind'], name: string, thickness: number])[] = [
  ['preparing', 'prepares', 12],
  ['prepared', 'is prepared, and holds resources', 6],
  ['owed', 'waits for the decision', 2],
];

/** The meaning of the bars and shapes. */
export function Legend() {
  return (
    <span class="legend">
      {SPANS.map(([kind, name, thickness]) => (
        <span key={kind}>
          <svg width={24} height={18} viewBox="-12 -9 24 18" aria-hidden="true">
            <rect
              class={`span-${kind}`}
              x={-11}
              y={-thickness / 2}
              width={22}
              height={thickness}
              rx={thickness / 3}
            />
          </svg>
          {name}
        </span>
      ))}
      {KINDS.map(([kind, name]) => (
        <span key={kind}>
          <svg width={18} height={18} viewBox="-9 -9 18 18" aria-hidden="true">
            <g class={`marker marker-${kind}`}>
              <Shape kind={kind} />
            </g>
          </svg>
          {name}
        </span>
      ))}
    </span>
  );
}
