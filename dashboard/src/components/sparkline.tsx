import type { Rate } from '../live/rates.js';

const WIDTH = 240;
const HEIGHT = 40;
/** Two minutes; fewer rates fill the right end. */
const STEPS = 120;

interface Props {
  readonly rates: readonly Rate[];
  readonly of: 'committed' | 'aborted';
  readonly label: string;
}

/** The rates of the last two minutes as a line. It decorates a figure that is also shown as text. */
export function Sparkline({ rates, of, label }: Props) {
  const shown = rates.slice(-STEPS).map((rate) => rate[of]);
  const highest = Math.max(1, ...shown);
  const points = shown.map((rate, index) => {
    const x = WIDTH - ((shown.length - 1 - index) * WIDTH) / (STEPS - 1);
    const y = HEIGHT - 1 - (rate / highest) * (HEIGHT - 3);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  return (
    <svg
      class={`sparkline sparkline-${of}`}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <path class="sparkline-base" d={`M0 ${HEIGHT - 0.5}H${WIDTH}`} />
      {points.length > 1 && <polyline points={points.join(' ')} />}
    </svg>
  );
}
