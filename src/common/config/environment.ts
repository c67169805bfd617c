import type { z } from 'zod';

/** The environment cannot be used. Its message is one line, and the application does not start. */
export class EnvironmentError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`The environment cannot be used: ${problems.join('; ')}.`);
    this.name = 'EnvironmentError';
  }
}

/** An object schema whose fields can be told apart, so that each can be set by a variable of its own. */
type OptionsSchema = z.ZodObject<Record<string, z.ZodType>>;

/**
 * Reads the options of a schema from the variables that begin with a prefix: `timeoutMs` from `DTC_TIMEOUT_MS`.
 *
 * @param schema what may be set, with its limits and defaults.
 * @param prefix such as `DTC_`. A variable that begins so and that the schema does not know is refused, for it is
 * a spelling mistake, and the option would silently keep its default.
 * @returns the options, complete.
 * @throws EnvironmentError naming every variable at fault.
 */
export function optionsFromEnvironment<S extends OptionsSchema>(
  schema: S,
  prefix: string,
  environment: NodeJS.ProcessEnv,
): z.output<S> {
  const variableOf = (option: string): string => prefix + upperSnake(option);
  const optionOf = new Map(Object.keys(schema.shape).map((option) => [variableOf(option), option]));

  const given: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [variable, value] of Object.entries(environment)) {
    if (value === undefined || !variable.startsWith(prefix)) continue;
    const option = optionOf.get(variable);
    if (option === undefined) problems.push(`${variable} is not known`);
    else given[option] = isNumeric(schema.shape[option]) ? numberOf(value) : value;
  }

  const parsed = schema.safeParse(given);
  for (const { path, message } of parsed.error?.issues ?? []) {
    problems.push(`${variableOf(String(path[0]))}: ${message}`);
  }
  if (!parsed.success || problems.length > 0) throw new EnvironmentError(problems);
  return parsed.data;
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

/** A text that is no decimal number stays what it is, for the schema to refuse: `''` is not 0. */
function numberOf(text: string): unknown {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}
