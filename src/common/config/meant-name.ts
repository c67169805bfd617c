import { closestName } from './closest-name.js';
import { FILE_SUFFIX } from './secret-file.js';

/** The prefix of the coordinator's own options. A name with and without it means the same option. */
const PREFIX = /^DTC_/;

/** Words of many names: alone, they do not identify an option. */
const COMMON_WORDS: ReadonlySet<string> = new Set(['DTC', 'MS', FILE_SUFFIX.slice(1)]);

/**
 * @param known every valid name, of all schemas.
 * @returns the name that an unknown name most likely means: the same name with or without the prefix,
 * otherwise one with nearly the same spelling, otherwise the one with the most words in common, if it is the
 * only one.
 */
export function meantName(name: string, known: readonly string[]): string | undefined {
  const bareNames = known.map(withoutPrefix);
  const bare = withoutPrefix(name);
  const nameOf = (bareName: string | undefined): string | undefined =>
    known.find((_, index) => bareNames[index] === bareName);
  return (
    nameOf(bare) ??
    closestName(name, known) ??
    nameOf(closestName(bare, bareNames)) ??
    nameOfMostSharedWords(name, known)
  );
}

/**
 * Of names with equally many words in common, the one with the fewest others: DTC_TIMEOUT_MS before
 * DTC_PREPARE_TIMEOUT_MS.
 */
function nameOfMostSharedWords(name: string, known: readonly string[]): string | undefined {
  const words = wordsOf(name);
  const [first, second] = known
    .map((candidate) => {
      const own = wordsOf(candidate);
      const shared = own.filter((word) => words.includes(word)).length;
      return { candidate, shared, others: own.length - shared };
    })
    .filter(({ shared }) => shared > 0)
    .toSorted((a, b) => b.shared - a.shared || a.others - b.others);
  const isAlone = first?.shared !== second?.shared || first?.others !== second?.others;
  return isAlone ? first?.candidate : undefined;
}

function withoutPrefix(name: string): string {
  return name.replace(PREFIX, '');
}

function wordsOf(name: string): string[] {
  return name.split('_').filter((word) => !COMMON_WORDS.has(word));
}
