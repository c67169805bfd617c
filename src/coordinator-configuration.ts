import { z } from 'zod';
import { credentialsSchema } from './common/config/credentials.js';
import { EnvironmentError, gather } from './common/config/environment.error.js';
import { namesOf, optionsFromEnvironment, serviceLinksIn, variablesOf } from './common/config/environment.js';
import { rotatedCredentials } from './common/config/rotated-credentials.js';
import { type Configuration, accessOf, applicationSchema, decisionLogOf } from './configuration.js';
import { coordinatorOptionsSchema } from './coordinator/index.js';
import type { Credential } from './operations/index.js';
import type { CredentialSource } from './server/index.js';

/** The variables of the coordinator without a shop. The table in docs/server.md is generated from this. */
export const coordinatorProgramSchema = applicationSchema
  .omit({ demo: true, orderDatabaseUrl: true, inventoryDatabaseUrl: true, paymentDatabaseUrl: true })
  .extend({
    host: applicationSchema.shape.host.describe(
      'The address to listen on. An address that other machines reach needs `OPERATOR_TOKENS` or `READER_TOKENS`.',
    ),
    callerTokens: credentialsSchema.optional().meta({
      secret: true,
      description:
        'The processes that may run transactions: pairs of `name:token`, separated by commas or line breaks. A file that is written anew ' +
        'takes effect within a second.',
    }),
    participantTokens: credentialsSchema.optional().meta({
      secret: true,
      description: 'The hosts of participants, which may ask for decisions and register, in the same form.',
    }),
    decisionLog: applicationSchema.shape.decisionLog.describe(
      'Where decisions are kept. The default is `postgres` with `DECISION_LOG_URL`, else `sqlite`.',
    ),
    maxTimeoutMs: z
      .number()
      .int()
      .min(1)
      .max(86_400_000)
      .default(60_000)
      .describe('The longest time-out that a caller may ask for, in milliseconds.'),
  });

/** Prefixes that no other program uses. */
const RESERVED_NAMES = [
  'READER_TOKEN',
  'OPERATOR_TOKEN',
  'CALLER_TOKEN',
  'PARTICIPANT_TOKEN',
  'DECISION_LOG',
];
const PREFIX = 'DTC_';

const OWN_NAMES = namesOf(variablesOf(coordinatorProgramSchema, ''));
const COORDINATOR_NAMES = namesOf(variablesOf(coordinatorOptionsSchema, PREFIX));

/** All settings of the coordinator without a shop. */
export interface CoordinatorConfiguration extends Omit<Configuration, 'databases' | 'demo'> {
  readonly callers: CredentialSource;
  readonly participantHosts: CredentialSource;
  readonly maxTimeoutMs: number;
}

/**
 * Reads the configuration from the variables of {@link coordinatorProgramSchema} and of the coordinator's options.
 *
 * @throws EnvironmentError when a value is impossible, values do not go together, or a variable with a beginning of ours is not
 * known. It names all of them.
 */
export function readCoordinatorConfiguration(environment: NodeJS.ProcessEnv): CoordinatorConfiguration {
  const problems: string[] = [];
  const given = gather(problems, () =>
    optionsFromEnvironment(coordinatorProgramSchema, '', environment, RESERVED_NAMES, COORDINATOR_NAMES),
  );
  const coordinator = gather(problems, () =>
    optionsFromEnvironment(coordinatorOptionsSchema, PREFIX, environment, [PREFIX], OWN_NAMES),
  );
  const access = given && gather(problems, () => accessOf(given));
  const decisionLog = given && gather(problems, () => decisionLogOf(given, true));
  if (given !== undefined) problems.push(...sharedTokensIn(given));
  if (
    given === undefined ||
    coordinator === undefined ||
    access === undefined ||
    decisionLog === undefined ||
    problems.length > 0
  )
    throw new EnvironmentError(problems);
  const { host, port, logLevel, maxTimeoutMs } = given;
  const serviceLinks = serviceLinksIn(
    environment,
    [...RESERVED_NAMES, PREFIX],
    [...OWN_NAMES, ...COORDINATOR_NAMES],
  );
  return {
    host,
    port,
    logLevel,
    access,
    decisionLog,
    coordinator,
    maxTimeoutMs,
    callers: rotatedCredentials('CALLER_TOKENS', environment),
    participantHosts: rotatedCredentials('PARTICIPANT_TOKENS', environment),
    ...(serviceLinks.length > 0 && { serviceLinks }),
  };
}

/** A token that two roles have in common would have two meanings. */
function sharedTokensIn(given: z.output<typeof coordinatorProgramSchema>): string[] {
  const roles = ['readerTokens', 'operatorTokens', 'callerTokens', 'participantTokens'] as const;
  const seen = new Map<string, string>();
  return roles.flatMap((role) => {
    const variable = variablesOf(coordinatorProgramSchema, '').find(({ option }) => option === role)!.name;
    const tokens: readonly Credential[] = given[role] ?? [];
    const shared = tokens.map(({ token }) => seen.get(token)).find((other) => other !== undefined);
    for (const { token } of tokens) seen.set(token, variable);
    // Readers and operators are compared with each other elsewhere.
    return shared === undefined || role === 'operatorTokens'
      ? []
      : [`${variable} and ${shared}: have a token in common`];
  });
}
