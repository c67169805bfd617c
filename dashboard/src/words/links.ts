import type { LinkTemplate, OwnedTransaction } from '../api/views.js';

/** A link with the values of one transaction. */
export interface FilledLink {
  readonly label: string;
  readonly href: string;
}

/**
 * @returns the links of a transaction. One that needs a value which the transaction does not have is left
 * out.
 */
export function linksOf(templates: readonly LinkTemplate[], transaction: OwnedTransaction): FilledLink[] {
  const { transactionId, name, traceId, requestId } = transaction;
  const values = new Map(Object.entries({ transactionId, name, traceId, requestId }));
  return templates.flatMap(({ label, url }) => {
    let isComplete = true;
    const href = url.replaceAll(/\{([^{}]*)\}/g, (_, placeholder: string) => {
      const value = values.get(placeholder);
      isComplete &&= value !== undefined;
      return encoded(value ?? '');
    });
    return isComplete ? [{ label, href }] : [];
  });
}

/** A name may hold any text, also half of a pair of characters, which has no encoding. */
function encoded(text: string): string {
  return encodeURIComponent(text.replaceAll(/\p{Surrogate}/gu, '\u{fffd}'));
}
