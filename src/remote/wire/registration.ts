import { z } from 'zod';
import { participantNameSchema } from './calls.js';

/** The message by which a host registers a participant at run time, or says that it has moved. */
export const registrationSchema = z.strictObject({
  name: participantNameSchema,
  /** The URL of the host, with its prefix. */
  address: z.string().min(1).max(2_000),
});
/** @publicApi */
export type RegistrationRequest = z.infer<typeof registrationSchema>;

/** The answer to an inquiry of a participant in doubt. */
export const inquirySchema = z.object({ decision: z.enum(['commit', 'abort', 'wait']) });
/** @publicApi */
export type InquiryAnswer = z.infer<typeof inquirySchema>;
