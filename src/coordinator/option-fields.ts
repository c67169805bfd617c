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
