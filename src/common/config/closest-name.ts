/**
 * The largest distance of a suggestion: beyond it, a suggestion would only mislead. A forgotten `_MS` has
 * this distance.
 */
const MAX_EDITS = 3;

/**
 * @returns the name that was most likely meant: the one that the fewest edits lead to, if these are few for
 * the length of the name. If several are equally near, the first.
 */
export function closestName(name: string, candidates: readonly string[]): string | undefined {
  let limit = Math.min(MAX_EDITS, Math.floor(name.length / 3));
  let closest: string | undefined;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) > limit) continue;
    const edits = editsBetween(name, candidate);
    if (edits > limit) continue;
    closest = candidate;
    limit = edits - 1;
  }
  return closest;
}

/**
 * The edit distance of Levenshtein, row by row: insertions, deletions and replacements that turn one text
 * into the other.
 */
function editsBetween(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let index = 0; index < from.length; index++) {
    const next = [index + 1];
    for (let column = 1; column <= to.length; column++) {
      const replaced = row[column - 1]! + (from[index] === to[column - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[column]! + 1, next[column - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
