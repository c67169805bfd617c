import { z } from 'zod';
import { credentialsSchema } from './common/config/credentials.js';
import { EnvironmentError, gather } from './common/config/environment.error.js';
import { namesOf, optionsFromEnvironment, serviceLinksIn, variablesOf } from './common/config/environment.js';
import { FILE_SUFFIX } from './common/config/secret-file.js';
import { rotatedCredentials } from './common/config/rotated-credentials.js';
import { type Configuration, accessOf, applicationSchema, decisionLogOf, linksOf } from './configuration.js';
import { coordinatorOptionsSchema } from './coordinator/coordinator.options.js';
import type { Credential } from './operations/index.js';
import { type Credentials, credentialsFrom } from './remote/index.js';
import type { RestAtOptions } from './rest-at/index.js';
import type { CredentialSource } from './server/index.js';

/** Pairs of `name=URL`. */
const participantsSchema = z.string().transform((text, context) =>
  listIn(text).map((pair) => {
    const [, name = '', address = ''] = /^([a-z][a-z0-9-]{0,31})=(https?:\/\/\S+)$/.exec(pair) ?? [];
    if (name === '') context.addIssue('must have pairs such as stock=http://stock:3000/participants');
    return { name, address };
  }),
);

/** Origins. The module for remote participants checks the form. */
const originsSchema = z.string().transform(listIn);

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
    participants: participantsSchema
      .optional()
      .describe(
        'The participants in other processes: pairs of `name=URL`, separated by commas or line breaks. The URL is that of the host, with ' +
          'its prefix.',
      ),
    participantOrigins: originsSchema
      .optional()
      .describe(
        'The origins at which participants may register themselves, separated by commas: `https://*.internal`. It needs a log that is ' +
          'kept.',
      ),
    coordinatorToken: z
      .string()
      .optional()
      .meta({
        secret: true,
        description:
          'The token that the coordinator sends to hosts of participants. Of several lines in a file the first one is sent. It is needed ' +
          'with `PARTICIPANTS` and `PARTICIPANT_ORIGINS`.',
      }),
    restAt: z
      .enum(['off', 'tokens', 'open'])
      .default('off')
      .describe(
        'Whether REST-AT is served at `/rest-at-coordinator/tx`. With `tokens`, it asks for a token of `CALLER_TOKENS` or ' +
          '`PARTICIPANT_TOKENS`; with `open`, for none.',
      ),
    restAtOrigins: originsSchema
      .optional()
      .describe(
        'The origins of the participants that REST-AT may call, separated by commas: `https://*.internal`. Without it none can enlist.',
      ),
    restAtUrl: z
      .string()
      .optional()
      .describe(
        'The URL at which others reach REST-AT, with its path. The default is that of each request, by its header Host.',
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
  'MEMBER_TOKEN',
  'DECISION_LOG',
  'REST_AT',
];
const PREFIX = 'DTC_';

const OWN_NAMES = namesOf(variablesOf(coordinatorProgramSchema, ''));
const COORDINATOR_NAMES = namesOf(variablesOf(coordinatorOptionsSchema, PREFIX));

/** All settings of the coordinator without a shop. */
export interface CoordinatorConfiguration extends Omit<Configuration, 'databases' | 'demo'> {
  readonly callers: CredentialSource;
  readonly participantHosts: CredentialSource;
  readonly maxTimeoutMs: number;
  /** Undefined if no participant is in another process. */
  readonly remote: RemoteConfiguration | undefined;
  /** Undefined if REST-AT is not served. */
  readonly restAt: RestAtOptions | undefined;
}

/** The participants in other processes. */
export interface RemoteConfiguration {
  readonly participants: readonly { readonly name: string; readonly address: string }[];
  /** The origins at which participants may register themselves. */
  readonly allow: readonly string[];
  /** What is sent to their hosts. */
  readonly credentials: Credentials;
}

/**
 * Reads the configuration from the variables of {@link coordinatorProgramSchema} and of the coordinator's
 * options.
 *
 * @throws EnvironmentError when a value is impossible, values do not go together, or a variable with a
 * beginning of ours is not known. It names all of them.
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
  const remote = given && gather(problems, () => remoteOf(given, environment));
  const restAt = given && gather(problems, () => restAtOf(given, environment));
  if (given !== undefined) problems.push(...sharedTokensIn(given));
  if (remote !== undefined && remote.allow.length > 0 && decisionLog?.kind === 'memory')
    problems.push(
      'PARTICIPANT_ORIGINS: needs a log that is kept, so that participants are known after a restart',
    );
  if (
    given === undefined ||
    coordinator === undefined ||
    access === undefined ||
    decisionLog === undefined ||
    problems.length > 0
  )
    throw new EnvironmentError(problems);
  const { host, port, logLevel, maxTimeoutMs, memberTokens } = given;
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
    ...(memberTokens !== undefined && { memberTokens }),
    decisionLog,
    ...linksOf(given),
    coordinator,
    maxTimeoutMs,
    remote,
    restAt,
    callers: rotatedCredentials('CALLER_TOKENS', environment),
    participantHosts: rotatedCredentials('PARTICIPANT_TOKENS', environment),
    ...(serviceLinks.length > 0 && { serviceLinks }),
  };
}

/** A token that two roles have in common would have two meanings. */
function sharedTokensIn(given: z.output<typeof coordinatorProgramSchema>): string[] {
  const roles = ['readerTokens', 'operatorTokens', 'callerTokens', 'participantTokens'] as const;
  const seen = new Map<string, string>((given.memberTokens ?? []).map((token) => [token, 'MEMBER_TOKENS']));
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

/** @throws EnvironmentError without a token for the hosts. */
function remoteOf(
  {
    participants = [],
    participantOrigins: allow = [],
    coordinatorToken,
  }: z.output<typeof coordinatorProgramSchema>,
  environment: NodeJS.ProcessEnv,
): RemoteConfiguration | undefined {
  if (participants.length + allow.length === 0) return undefined;
  if (coordinatorToken === undefined) {
    throw new EnvironmentError([
      'COORDINATOR_TOKEN: is missing; set the token that hosts of participants know, or COORDINATOR_TOKEN_FILE',
    ]);
  }
  const file = environment[`COORDINATOR_TOKEN${FILE_SUFFIX}`];
  return { participants, allow, credentials: file === undefined ? coordinatorToken : credentialsFrom(file) };
}

/** @throws EnvironmentError when what is set has no meaning, or no caller has a token. */
function restAtOf(
  {
    restAt,
    restAtOrigins: allow,
    restAtUrl: url,
    maxTimeoutMs,
    callerTokens = [],
    participantTokens = [],
  }: z.output<typeof coordinatorProgramSchema>,
  environment: NodeJS.ProcessEnv,
): RestAtOptions | undefined {
  if (restAt === 'off') {
    const names = [allow && 'REST_AT_ORIGINS', url && 'REST_AT_URL'].filter((name) => name !== undefined);
    if (names.length === 0) return undefined;
    throw new EnvironmentError([
      `${names.join(' and ')}: has no meaning without REST_AT=tokens or REST_AT=open`,
    ]);
  }
  const settings = { allow, url, maxTimeoutMs };
  if (restAt === 'open') return { ...settings, callers: 'anyone' };
  if (callerTokens.length + participantTokens.length === 0) {
    throw new EnvironmentError([
      'REST_AT: asks for tokens, and no caller has one; set CALLER_TOKENS or PARTICIPANT_TOKENS, or REST_AT=open for none',
    ]);
  }
  const sources = ['CALLER_TOKENS', 'PARTICIPANT_TOKENS'].map((name) =>
    rotatedCredentials(name, environment),
  );
  let lists: readonly (readonly Credential[])[] = [];
  let all: readonly Credential[] = [];
  return {
    ...settings,
    // The same list, until one of the two changes.
    callers: () => {
      const latest = sources.map((source) => source());
      if (latest.some((list, index) => list !== lists[index])) {
        lists = latest;
        all = latest.flat();
      }
      return all;
    },
  };
}

function listIn(text: string): string[] {
  return text
    .split(/[\n,]/)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}
