import { timingSafeEqual } from 'node:crypto';
import { followed } from '../../hop/followed-file.js';

/**
 * Tokens, each of at least 16 characters. The first of several is sent, and all of them are accepted: so a
 * token is rotated without a moment in which none fits. A function is asked at each request: {@link
 * credentialsFrom} reads a file.
 *
 * @publicApi
 */
export type Credentials = string | readonly string[] | (() => string | readonly string[]);

const MIN_TOKEN_LENGTH = 16;
const MAX_TOKEN_LENGTH = 512;
const TOKEN = /^[!-~]{16,512}$/;
const BEARER = /^Bearer +([!-~]{1,512})$/i;

/** @returns the tokens now. @throws RangeError when there is none, or one is no token. No token is quoted. */
export function tokensOf(credentials: Credentials): readonly string[] {
  const given: unknown = typeof credentials === 'function' ? credentials() : credentials;
  const tokens: unknown[] = Array.isArray(given) ? given : [given];
  if (tokens.length === 0 || !tokens.every((token) => typeof token === 'string' && TOKEN.test(token))) {
    throw new RangeError(
      `credentials: must be one or several tokens of at least ${MIN_TOKEN_LENGTH} visible characters`,
    );
  }
  return tokens as string[];
}

/** @returns the header of a request: the first token. */
export function bearerOf(credentials: Credentials): string {
  return `Bearer ${tokensOf(credentials)[0]!}`;
}

/** Compares the tokens of callers with those that are accepted. */
export class TokenCheck {
  /** The accepted tokens, each of them padded, as of the last request. */
  private accepted: readonly string[] = [];
  private padded: readonly Buffer[] = [];
  private readonly given = Buffer.alloc(MAX_TOKEN_LENGTH);

  constructor(private readonly credentials: Credentials) {}

  /**
   * Whether a header has one of the tokens. All of them are compared, each in constant time, so that the time
   * does not reveal how much of a token was right.
   *
   * @throws RangeError when there are no tokens now.
   */
  admits(authorization: unknown): boolean {
    const given = typeof authorization === 'string' ? BEARER.exec(authorization)?.[1] : undefined;
    if (given === undefined) return false;
    this.renew();
    this.given.fill(0).write(given, 'latin1');
    let isKnown = false;
    for (const token of this.padded) {
      if (timingSafeEqual(token, this.given)) isKnown = true;
    }
    return isKnown;
  }

  /** Tokens that are still those of the last request need no second look. */
  private renew(): void {
    const { credentials, accepted } = this;
    const now = typeof credentials === 'function' ? credentials() : credentials;
    if (typeof now === 'string' ? accepted.length === 1 && now === accepted[0] : isSame(now, accepted))
      return;
    const tokens = [...tokensOf(now)];
    this.padded = tokens.map(paddedOf);
    this.accepted = tokens;
  }
}

/**
 * Reads tokens from a file, one a line. The file is read again when it has changed, at most once a second, so
 * a token is rotated by writing the file. A file that cannot be read leaves the tokens as they were.
 *
 * @returns credentials that hold what the file has.
 * @throws RangeError when the file cannot be read, or has no tokens.
 * @publicApi
 */
export function credentialsFrom(path: string): () => readonly string[] {
  return followed([path], tokensIn, 'The file with the credentials');
}

function tokensIn([text]: readonly string[]): readonly string[] {
  const lines = text!.split('\n').map((line) => line.trim());
  return tokensOf(lines.filter((line) => line !== ''));
}

/** @param now as it was given, perhaps from JavaScript. */
function isSame(now: unknown, accepted: readonly string[]): boolean {
  return (
    Array.isArray(now) &&
    now.length > 0 &&
    now.length === accepted.length &&
    accepted.every((token, index) => token === now[index])
  );
}

/**
 * All are of one length, as a comparison in constant time needs. No token has a zero, so different ones stay
 * different.
 */
function paddedOf(token: string): Buffer {
  return Buffer.from(token.padEnd(MAX_TOKEN_LENGTH, '\0'), 'latin1');
}
