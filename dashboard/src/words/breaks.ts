/**
 * A longer run of characters without a space must be broken somewhere, or a table grows wider than the page:
 * 24 characters.
 */
const LONG = /\S{25}/u;

/** Behind these an id, an address or the name of a class may be broken. */
const SEPARATOR = /(?<=[./_:@,=-])/;

/**
 * Cuts a text at the places where a line may be broken, besides its spaces. Words stay whole: only what no
 * line of a narrow column can hold is cut, behind a separator where there is one.
 *
 * @returns the pieces, which give the text again.
 */
export function piecesOf(text: string): readonly string[] {
  return text.split(/(?<=\s)/).flatMap((word) => (LONG.test(word) ? cut(word) : [word]));
}

function cut(word: string): string[] {
  return word.split(SEPARATOR).flatMap((part) => part.match(/.{1,24}/gsu) ?? []);
}
