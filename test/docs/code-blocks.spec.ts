import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { type Block, allBlocks } from './blocks.js';

/**
 * Each block of TypeScript is an excerpt of code that this repository compiles, or it compiles by itself.
 * Those of the tutorial are compiled together, by its own test.
 */
const ROOT = join(import.meta.dirname, '../..');

/** Packages that a page uses and that are not installed here. What they export is not checked. */
const NOT_INSTALLED = ['@opentelemetry/exporter-trace-otlp-proto', '@opentelemetry/sdk-node'];

const blocks = allBlocks('ts').filter(({ document }) => document !== 'docs/tutorial.md');
const excerpts = new Set(excerptsAmong(blocks));
const alone = blocks.filter((block) => !excerpts.has(block));

function nameOf({ document, line }: Block): string {
  return `${document}:${line}`;
}

/** White space does not count: a method stands less deep in a page than in its class. */
function bare(code: string): string {
  return code.replaceAll(/\s+/g, '').replaceAll(/,(?=[)\]}])/g, '');
}

/**
 * @returns the blocks that stand in a source file, which imports the library as a user of the package does.
 */
function excerptsAmong(candidates: readonly Block[]): Block[] {
  const sources = globSync(['{src,test,samples,bench}/**/*.ts', '*.ts'], {
    cwd: ROOT,
    exclude: ['**/node_modules/**'],
  })
    .map((file) => readFileSync(join(ROOT, file), 'utf8'))
    .map((source) =>
      source.replaceAll(/'(?:\.\.?\/)+src\/(\w+)\/index\.js'/g, (_, folder: string) =>
        folder === 'coordinator' ? "'nestjs-dtc'" : `'nestjs-dtc/${folder}'`,
      ),
    )
    .map(bare);
  return candidates.filter(({ code }) => sources.some((source) => source.includes(bare(code))));
}

/**
 * @returns what the compiler has against blocks, each as a module of its own, in the words of the compiler.
 */
function complaintsAbout(modules: readonly Block[]): Map<string, string[]> {
  const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (file) => ts.sys.readFile(file)) as {
    config: { compilerOptions: object };
  };
  const { options } = ts.convertCompilerOptionsFromJson(
    {
      ...config.compilerOptions,
      rootDir: undefined,
      moduleDetection: 'force',
      noUnusedLocals: false,
      noUnusedParameters: false,
      paths: {
        'nestjs-dtc': ['./src/coordinator/index.ts'],
        'nestjs-dtc/testing': ['./src/coordinator/testing/index.ts'],
        'nestjs-dtc/problem': ['./src/operations/problem/index.ts'],
        'nestjs-dtc/*': ['./src/*/index.ts'],
      },
    },
    ROOT,
  );
  // In a folder of the repository, where the packages are found from.
  const files = new Map(modules.map((block, index) => [join(ROOT, `docs/block-${index}.ts`), block]));
  const stubs = join(ROOT, 'docs/not-installed.d.ts');
  const texts = new Map([...files].map(([file, { code }]) => [file, code]));
  texts.set(stubs, NOT_INSTALLED.map((name) => `declare module '${name}';`).join('\n'));
  const disk = ts.createCompilerHost(options);
  const host: ts.CompilerHost = {
    ...disk,
    readFile: (file) => texts.get(file) ?? disk.readFile(file),
    fileExists: (file) => texts.has(file) || disk.fileExists(file),
    getSourceFile: (file, target, ...rest) => {
      const text = texts.get(file);
      return text === undefined
        ? disk.getSourceFile(file, target, ...rest)
        : ts.createSourceFile(file, text, target, true);
    },
  };
  const program = ts.createProgram([...texts.keys()], options, host);
  return new Map(
    Array.from(files, ([file, block]) => {
      const source = program.getSourceFile(file);
      const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
      return [
        nameOf(block),
        found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')),
      ];
    }),
  );
}

const complaints = complaintsAbout([
  ...alone,
  {
    document: 'wrong',
    line: 1,
    language: 'ts',
    code: "import { CoordinatorModul } from 'nestjs-dtc';",
    file: undefined,
  },
]);

describe('the blocks of TypeScript', () => {
  it('are excerpts of code of this repository, and modules that stand alone', () => {
    expect(excerpts.size).toBeGreaterThan(20);
    expect(alone.length).toBeGreaterThan(5);
  });

  it.each(alone.map(nameOf))('%s compiles', (name) => {
    expect(complaints.get(name)).toEqual([]);
  });

  it('would not compile with a name that the library does not export', () => {
    expect(complaints.get('wrong:1')).toEqual([expect.stringContaining('CoordinatorModul')]);
  });
});
