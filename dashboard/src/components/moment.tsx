import { formatMoment } from '../words/moments.js';

/** A time of day; the exact moment is its title. */
export function Moment({ iso }: { readonly iso: string }) {
  return (
    <time dateTime={iso} title={iso}>
      {formatMoment(iso)}
    </time>
  );
}
