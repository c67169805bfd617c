import type { z } from 'zod';
import { EnvironmentError, gather } from './environment.error.js';
import { meantName } from './meant-name.js';
import { FILE_SUFFIX, type Setting, readSecret } from './secret-file.js';
import { isServiceLink } from './service-link.js';

/** An object schema whose fields are separate, so that each can be set by a variable of its own. */
type OptionsSchema = z.ZodObject<Record<string, z.ZodType>>;

/** The variable of an option. */
export interface Variable {
  readonly option: string;
  readonly name: string;
  /** Whether it may also come from the file that the variable `<name>_FILE` names. */
  readonly isSecret: boolean;
}

/**
 * @param prefix such as `DTC_`: then `timeoutMs` is read from DTC_TIMEOUT_MS.
 * @returns the variables of the options of a schema. Those with `secret: true` in their metadata are secret.
 */
export function variablesOf(schema: OptionsSchema, prefix: string): Variable[] {
  return Object.entries(schema.shape).map(([option, field]) => ({
    option,
    name: prefix + upperSnake(option),
    isSecret: field.meta()?.['secret'] === true,
  }));
}

/** @returns every valid name for these variables, including those of files. */
export function namesOf(variables: readonly Variable[]): string[] {
  return variables.flatMap(({ name, isSecret }) => (isSecret ? [name, name + FILE_SUFFIX] : [name]));
}

/**
 * Reads the options of a schema from the environment: `timeoutMs` from `DTC_TIMEOUT_MS`.
 *
 * @param schema the options, with their limits and defaults.
 * @param prefix such as `DTC_`, or nothing.
 * @param reserved prefixes that belong to this schema alone. An unknown variable with such a prefix is
 * refused: it is a spelling mistake, and the option would silently keep its default. The owner of other names
 * is unknown. The links that Kubernetes makes to Services are not mistakes, and are ignored: see {@link
 * serviceLinksIn}. @default the prefix
 * @param others names of other schemas, which may be meant by a refused name.
 * @returns the complete options.
 * @throws EnvironmentError naming every variable at fault, and never its value.
 */
export function optionsFromEnvironment<S extends OptionsSchema>(
  schema: S,
  prefix: string,
  environment: NodeJS.ProcessEnv,
  reserved: readonly string[] = [prefix],
  others: readonly string[] = [],
): z.output<S> {
  const variables = variablesOf(schema, prefix);
  const problems = problemsOfNames(namesOf(variables), reserved, others, environment);

  const given: Record<string, unknown> = {};
  const source = new Map<string, string>();
  for (const { option, name, isSecret } of variables) {
    const setting = isSecret
      ? gather(problems, () => readSecret(name, environment))
      : settingOf(name, environment);
    if (setting === undefined) continue;
    source.set(option, setting.variable);
    given[option] = isNumeric(schema.shape[option]) ? numberOf(setting.text) : setting.text;
  }

  const parsed = schema.safeParse(given);
  for (const { path, message } of parsed.error?.issues ?? []) {
    problems.push(`${source.get(String(path[0])) ?? prefix + upperSnake(String(path[0]))}: ${message}`);
  }
  if (!parsed.success || problems.length > 0) throw new EnvironmentError(problems);
  return parsed.data;
}

/**
 * @param reserved prefixes of names.
 * @param known valid names.
 * @returns the unknown variables with these prefixes that are links to Services of Kubernetes.
 */
export function serviceLinksIn(
  environment: NodeJS.ProcessEnv,
  reserved: readonly string[],
  known: readonly string[],
): string[] {
  return namesIn(environment, reserved, known).filter((name) => isServiceLink(name, environment[name] ?? ''));
}

function problemsOfNames(
  known: readonly string[],
  reserved: readonly string[],
  others: readonly string[],
  environment: NodeJS.ProcessEnv,
): string[] {
  return namesIn(environment, reserved, known)
    .filter((name) => !isServiceLink(name, environment[name] ?? ''))
    .map((name) => {
      const meant = meantName(name, [...known, ...others]);
      return `${name} is not known` + (meant === undefined ? '' : ` (did you mean ${meant}?)`);
    });
}

function namesIn(
  environment: NodeJS.ProcessEnv,
  reserved: readonly string[],
  known: readonly string[],
): string[] {
  return Object.keys(environment).filter(
    (name) => reserved.some((beginning) => name.startsWith(beginning)) && !known.includes(name),
  );
}

function settingOf(variable: string, environment: NodeJS.ProcessEnv): Setting | undefined {
  const text = environment[variable];
  return text === undefined ? undefined : { variable, text };
}

function upperSnake(camelCase: string): string {
  return camelCase.replace(/[A-Z]/g, '_$&').toUpperCase();
}

/** Whether a schema, without its default, is one of numbers. */
function isNumeric(schema: z.ZodType | undefined): boolean {
  if (schema === undefined) return false;
  const { type, innerType } = schema.def as { type: string; innerType?: z.ZodType };
  return type === 'number' || isNumeric(innerType);
}

/** A text that is not a decimal number stays unchanged, so that the schema refuses it: `''` is not 0. */
function numberOf(text: string): unknown {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}
