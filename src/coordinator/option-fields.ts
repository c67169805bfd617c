import { z } from 'zod';

/** The longest time-out that is accepted: a day, in milliseconds. */
export const MAX_DURATION_MS = 86_400_000;

/** A time-out, a pause or an interval. */
export const durationMs = z.number().int().min(1).max(MAX_DURATION_MS);

const NAME_RULE = '1 to 32 characters of a-z, 0-9 and -, beginning with a letter';

/** The name of a coordinator or a participant in ids and metrics. */
export const plainName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,31}$/, `must be ${NAME_RULE}`)
  .meta({ limits: NAME_RULE });

/**
 * The URL of routes over HTTP, with a prefix or without: no user, query or fragment, which would not be sent.
 */
export const httpAddress = z
  .string()
  .max(2_000)
  .refine(
    isHttpAddress,
    'must be a URL with http or https and without user, query or fragment, such as http://10.0.0.5:3000',
  );

function isHttpAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return (protocol === 'http:' || protocol === 'https:') && username + password + search + hash === '';
}
