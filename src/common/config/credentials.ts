import { z } from 'zod';

/** A token, and the name of its holder, which is visible to others. */
export interface Credential {
  readonly name: string;
  readonly token: string;
}

const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const MAX_TOKENS = 16;
/** Visible ASCII without the comma, which separates pairs. A shorter token could be guessed. */
const TOKEN = /^[!-+\--~]{16,512}$/;

/**
 * Pairs of `name:token`, separated by commas or line breaks. Blank lines, and lines that begin with `#`, are
 * skipped. A problem is reported by its place, never by the content there.
 */
export const credentialsSchema = z.string().transform((text, context): readonly Credential[] => {
  const found: Credential[] = [];
  const lines = text.split('\n').map((line) => line.trim());
  for (const [index, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue;
    for (const pair of line.split(',')) {
      const credential = credentialOf(pair.trim());
      const problem = problemOf(credential, found);
      if (problem !== undefined) context.addIssue(`line ${index + 1} ${problem}`);
      found.push(credential);
    }
  }
  if (found.length === 0) context.addIssue('must have at least one pair of name:token');
  return found;
});

/**
 * Tokens without names, in the same form: the first is sent, and all are accepted. A problem is reported by
 * its place, never by the content there.
 */
export const tokensSchema = z.string().transform((text, context): readonly string[] => {
  const found: string[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.trim().startsWith('#')) continue;
    for (const token of line.split(',').map((part) => part.trim())) {
      if (!TOKEN.test(token))
        context.addIssue(
          `line ${index + 1} must have a token of 16 to 512 characters of visible ASCII without comma`,
        );
      if (found.includes(token)) context.addIssue(`line ${index + 1} has a token that was already given`);
      found.push(token);
    }
  }
  if (found.length === 0) context.addIssue('must have at least one token');
  if (found.length > MAX_TOKENS) context.addIssue(`must have at most ${MAX_TOKENS} tokens`);
  return found;
});

function credentialOf(pair: string): Credential {
  const colon = pair.indexOf(':');
  return { name: pair.slice(0, Math.max(colon, 0)), token: pair.slice(colon + 1) };
}

function problemOf({ name, token }: Credential, before: readonly Credential[]): string | undefined {
  if (!NAME.test(name))
    return 'must begin with a name of 1 to 64 characters of A-Z, a-z, 0-9, . _ and -, and a colon';
  if (!TOKEN.test(token)) return 'must have a token of 16 to 512 characters of visible ASCII without comma';
  if (before.some((other) => other.name === name)) return 'has a name that was already given';
  if (before.some((other) => other.token === token)) return 'has a token that was already given';
  return undefined;
}
