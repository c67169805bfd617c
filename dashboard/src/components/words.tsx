import { Fragment } from 'preact';
import { piecesOf } from '../words/breaks.js';

/**
 * A text that comes from elsewhere and may have any length: its words stay whole, and no column grows too
 * wide.
 */
export function Words({ children }: { readonly children: string }) {
  return (
    <>
      {piecesOf(children).map((piece, index) => (
        // oxlint-disable-next-line react/no-array-index-key -- a piece has nothing else to be known by
        <Fragment key={index}>
          {index > 0 && <wbr />}
          {piece}
        </Fragment>
      ))}
    </>
  );
}
