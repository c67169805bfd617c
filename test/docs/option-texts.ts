import type { z } from 'zod';
import { variablesOf } from '../../src/common/config/environment.js';
import { FILE_SUFFIX } from '../../src/common/config/secret-file.js';

/** The widest line of a docstring. */
const WIDTH = 110;

type Schema = z.ZodObject<Record<string, z.ZodType>>;
type Column = 'default' | 'limits';

/** The facts about an option, from its schema alone. */
interface Option {
  readonly name: string;
  readonly text: string;
  readonly type: string;
  readonly isRequired: boolean;
  /** Left out: there is none. */
  readonly preset: string | number | boolean | undefined;
  /** Words, where the default depends on something else. */
  readonly derivedDefault: string | undefined;
  readonly limits:
    | { readonly kind: 'none' }
    | { readonly kind: 'range'; readonly min: number; readonly max: number }
    | { readonly kind: 'words'; readonly words: readonly string[] }
    | { readonly kind: 'rule'; readonly rule: string };
}

/** @returns a table of the options of a schema. */
export function optionTable(schema: Schema, columns: readonly Column[]): string {
  const options = optionsOf(schema);
  const rows = options.map((option) => rowOf(`\`${option.name}\``, option, columns));
  return table(['option', ...columns, 'meaning'], rows);
}

/**
 * @returns a table of the variables that are read into a schema; one that may come from a file has both of
 * its names.
 */
export function variableTable(schema: Schema, columns: readonly Column[]): string {
  const variables = variablesOf(schema, '');
  const rows = optionsOf(schema).map((option, index) => {
    const { name, isSecret } = variables[index]!;
    return rowOf(isSecret ? `\`${name}\`, \`${name}${FILE_SUFFIX}\`` : `\`${name}\``, option, columns);
  });
  return table(['variable', ...columns, 'meaning'], rows);
}

/**
 * @param inherited what an option that has no default falls back to, in words.
 * @returns the members of the interface that documents a schema, each with its docstring.
 */
export function memberTexts(
  schema: Schema,
  inherited: (option: string) => string | undefined = () => undefined,
): string {
  return optionsOf(schema)
    .map((option) => {
      const { name, type, isRequired, preset } = option;
      const fallback = preset === undefined ? (option.derivedDefault ?? inherited(name)) : literal(preset);
      const docstring = [
        ...wrapped(`${option.text} ${limitSentence(option)}`.trim()),
        ...(fallback === undefined || isRequired ? [] : ['', `@default ${fallback}`]),
      ];
      const lines = docstring.map((line) => (line === '' ? '   *' : `   * ${line}`));
      const member = isRequired ? `${name}: ${type}` : `${name}?: ${type} | undefined`;
      return ['  /**', ...lines, '   */', `  readonly ${member};`, ''].join('\n');
    })
    .join('');
}

function optionsOf(schema: Schema): Option[] {
  return Object.entries(schema.shape).map(([name, field]) => {
    const { type, enum: words, minimum, maximum } = field.toJSONSchema({ io: 'input' }) as JsonSchema;
    const { description, derivedDefault } = field.meta() ?? {};
    const rule = innermost(field).meta()?.['limits'];
    if (description === undefined) throw new Error(`The option ${name} has no description.`);
    return {
      name,
      text: description,
      type: words?.map(quoted).join(' | ') ?? (type === 'integer' ? 'number' : String(type)),
      isRequired: !field.safeParse(undefined).success,
      preset: field.safeParse(undefined).data as Option['preset'],
      derivedDefault: derivedDefault as string | undefined,
      limits:
        words !== undefined
          ? { kind: 'words', words }
          : typeof rule === 'string'
            ? { kind: 'rule', rule }
            : minimum !== undefined && maximum !== undefined
              ? { kind: 'range', min: minimum, max: maximum }
              : { kind: 'none' },
    };
  });
}

interface JsonSchema {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
}

/** Without its default, and whether or not it may be left out. */
function innermost(field: z.ZodType): z.ZodType {
  const { innerType } = field.def as { readonly innerType?: z.ZodType };
  return innerType === undefined ? field : innermost(innerType);
}

function rowOf(names: string, option: Option, columns: readonly Column[]): string[] {
  const cells = {
    default: defaultCell(option),
    limits: limitCell(option),
  };
  return [names, ...columns.map((column) => cells[column]), option.text];
}

function defaultCell({ preset, derivedDefault }: Option): string {
  if (preset === undefined) return derivedDefault ?? '';
  return preset === '' ? 'empty' : `\`${preset}\``;
}

function limitCell({ limits }: Option): string {
  switch (limits.kind) {
    case 'none':
      return '';
    case 'rule':
      return limits.rule;
    case 'words':
      return limits.words.map((word) => `\`${word}\``).join(', ');
    case 'range':
      return `${limits.min.toLocaleString('en')} to ${limits.max.toLocaleString('en')}`;
  }
}

/** The type says which words there are. */
function limitSentence({ name, limits }: Option): string {
  if (limits.kind === 'rule') return `${limits.rule[0]!.toUpperCase()}${limits.rule.slice(1)}.`;
  if (limits.kind !== 'range') return '';
  const range = `${literal(limits.min)} to ${literal(limits.max)}`;
  return name.endsWith('Ms') ? `In milliseconds, from ${range}.` : `From ${range}.`;
}

/** As it is written in code: thousands are set apart. */
function literal(value: string | number | boolean): string {
  if (typeof value === 'number') return value.toLocaleString('en').replaceAll(',', '_');
  return typeof value === 'string' ? quoted(value) : String(value);
}

function quoted(text: string): string {
  return `'${text}'`;
}

function wrapped(text: string): string[] {
  const indent = '   * '.length;
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line !== undefined && indent + line.length + 1 + word.length <= WIDTH)
      lines[lines.length - 1] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
