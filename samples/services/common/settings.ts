import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { credentialsFrom } from 'nestjs-dtc/host';
import { z } from 'zod';

/** The variables of every service. */
const shared = {
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number().int().min(0).max(65_535),
  /** The members of the coordinator, separated by commas: any of them can be asked. */
  COORDINATORS: z.string().transform((urls) => urls.split(',')),
  /** A folder with one file for each token, as secrets are mounted. A file that is written anew takes effect by itself. */
  TOKENS: z.string(),
};

const participantSchema = z.object({
  ...shared,
  /** Where the coordinators reach this service. */
  ADDRESS: z.url(),
  /** Or `DATABASE_URL_FILE`, a file that has it. */
  DATABASE_URL: z.string(),
});

const gatewaySchema = z.object({
  ...shared,
  ORDER_SERVICE: z.url(),
});

/** The settings of a service with a participant. */
export type ParticipantSettings = Readonly<z.output<typeof participantSchema>>;

/** The settings of the gateway. */
export type GatewaySettings = Readonly<z.output<typeof gatewaySchema>>;

/** @throws Error that names every variable that is missing or wrong. */
export function participantSettings(environment: NodeJS.ProcessEnv): ParticipantSettings {
  return read(participantSchema, environment);
}

/** @throws Error that names every variable that is missing or wrong. */
export function gatewaySettings(environment: NodeJS.ProcessEnv): GatewaySettings {
  return read(gatewaySchema, environment);
}

/** @returns the tokens in a file of the folder. */
export function tokensIn({ TOKENS }: Pick<ParticipantSettings, 'TOKENS'>, file: string) {
  return credentialsFrom(join(TOKENS, file));
}

function read<S extends z.ZodType>(schema: S, environment: NodeJS.ProcessEnv): z.output<S> {
  const { DATABASE_URL_FILE: file } = environment;
  const found = file === undefined ? {} : { DATABASE_URL: readFileSync(file, 'utf8').trim() };
  const { success, data, error } = schema.safeParse({ ...environment, ...found });
  if (success) return data;
  throw new Error(`These variables of the environment are missing or wrong:\n${z.prettifyError(error)}`);
}
