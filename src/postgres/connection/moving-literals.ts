/** Matches the start of a literal. */
const LITERAL = /'|\$(?:[a-z_]\w*)?\$/i;

/**
 * Matches what is not read here: comments, escapes, dollar quotes, and a literal that goes on in another
 * line.
 */
const UNCLEAR = /\$(?:[a-z_]\w*)?\$|--|\/\*|\\|'\s*\n\s*'/i;

/** Matches a name or a literal in quotes. */
const QUOTED = /"(?:[^"]|"")*"|'(?:[^']|'')*'/g;

/**
 * Matches literals that may be read otherwise at another time or with other settings: `'now'`, dates, times.
 */
const MOVES = /\d|\b(?:now|today|tomorrow|yesterday)\b/i;

/**
 * Whether a text has a literal that the server may read as another value later, or with other settings. It
 * reads the literals of a prepared statement once.
 */
export function hasMovingLiteral(text: string): boolean {
  if (!LITERAL.test(text)) return false;
  if (UNCLEAR.test(text)) return true;
  return (text.match(QUOTED) ?? []).some((quoted) => quoted.startsWith("'") && MOVES.test(quoted));
}
