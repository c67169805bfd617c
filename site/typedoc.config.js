import { readFileSync } from 'node:fs';
import { OptionDefaults } from 'typedoc';

const { exports } = JSON.parse(
  readFileSync(new URL('../packages/nestjs-dtc/package.json', import.meta.url), 'utf8'),
);

/** One page for each public name of each entry of the package, written from its docstring. */
export default {
  name: 'nestjs-dtc',
  plugin: ['typedoc-plugin-markdown'],
  tsconfig: '../packages/nestjs-dtc/tsconfig.json',
  entryPoints: Object.values(exports).flatMap(({ types }) =>
    types === undefined ? [] : [`../src/${types.slice('./dist/'.length).replace('.d.ts', '.ts')}`],
  ),
  out: 'reference',
  readme: 'none',
  disableSources: true,
  excludeInternal: true,
  excludePrivate: true,
  blockTags: [...OptionDefaults.blockTags, '@publicApi'],
  excludeTags: [...OptionDefaults.excludeTags, '@publicApi'],
  // A port of the operator interface, and what the outboxes of all databases ask of their statements: nobody else implements them.
  intentionallyNotExported: ['OutboxDesk', 'OutboxStatements'],
  treatWarningsAsErrors: true,
  entryFileName: 'index',
  hideBreadcrumbs: true,
  hidePageHeader: true,
  useCodeBlocks: true,
  parametersFormat: 'table',
};
