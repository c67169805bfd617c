/**
 * The documents, comments and texts of this project are written in plain English: subject, verb, object;
 * short sentences; active voice. These expressions were used here once and stopped readers. Each has the
 * words to use instead.
 */
export interface Idiom {
  readonly pattern: RegExp;
  readonly instead: string;
}

export interface IdiomFound {
  readonly line: number;
  readonly words: string;
  readonly instead: string;
}

/** Wrong in prose, comments, error texts and test names alike. A line break counts as a space. */
export const IDIOMS: readonly Idiom[] = [
  { pattern: /\b(?:who|whom)(?:so)?ever\b/gi, instead: 'the caller, the operator, the process that ...' },
  { pattern: /\b(?:nobody|no-one)\b/gi, instead: 'no caller, no process, no operator' },
  { pattern: /\b(?:somebody|anybody|everybody)\b/gi, instead: 'an operator, a caller, another process' },
  { pattern: /\bmend(?:s|ed|ing)?\b/gi, instead: 'fix' },
  { pattern: /\bfor\s+ever\b/gi, instead: 'always, permanently, until it succeeds' },
  { pattern: /\b(?:the|its|their|a|each|every|in)\s+begin\b(?!\()/gi, instead: 'the start' },
  { pattern: /\bbef(?:all|alls|allen|ell)\b/gi, instead: 'happen to' },
  { pattern: /\bto\s+the\s+letter\b/gi, instead: 'exactly' },
  { pattern: /\bof\s+no\s+consequence\b/gi, instead: 'has no effect, does not matter' },
  { pattern: /\bturn(?:s|ed|ing)?\s+(?:\w+\s+){0,3}round\b/gi, instead: 'reverse' },
  { pattern: /\b(?:leav(?:e|es|ing)|left)\s+the\s+house\b/gi, instead: 'leaves the process' },
  { pattern: /\b(?:in|for)\s+want\s+of\b/gi, instead: 'needs, without' },
  { pattern: /\bto\s+be\s+had\b/gi, instead: 'is available' },
  { pattern: /\bas\s+(?:things|matters)\s+are\b/gi, instead: 'in the present state' },
];

/** Wrong at the start of a sentence, unless it is a question: the reader needs the noun first. */
export const HEADLESS: Idiom = {
  pattern: /(?:(?<=[.!?]\s)|(?<=\n\n)|(?<=^[-*] )|(?<=^\d+\. ))(?:What|Whatever|Who)\b(?![^.?!|]*\?)/gm,
  instead: 'the noun: "Transactions that ended wait", not "What has ended waits"',
};

/** @returns each forbidden expression in a text, by the line on which it starts. */
export function idiomsIn(text: string, idioms: readonly Idiom[] = IDIOMS): IdiomFound[] {
  return idioms
    .flatMap(({ pattern, instead }) =>
      Array.from(text.matchAll(pattern), ({ 0: words, index }) => ({
        line: text.slice(0, index).split('\n').length,
        words: words.replaceAll(/\s+/g, ' '),
        instead,
      })),
    )
    .toSorted((one, other) => one.line - other.line);
}

/**
 * @returns the idioms in a document in Markdown. Names in code, such as \`anybody-presumes-abort\`, are not
 * prose.
 */
export function idiomsInMarkdown(text: string): IdiomFound[] {
  const prose = text.replaceAll(/`[^`\n]+`/g, blank);
  const withoutBlocks = prose.replaceAll(/^ *(```+)[^]*?^ *\1$/gm, (block) => block.replaceAll(/\S/g, ' '));
  return [...idiomsIn(prose), ...idiomsIn(withoutBlocks, [HEADLESS])];
}

function blank(code: string): string {
  return 'x'.repeat(code.length);
}
