import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import ts from 'typescript';

/** One source file imports from another. */
export interface Import {
  /** Paths from the root that was read, with `/`. */
  readonly from: string;
  readonly to: string;
  /** The import is of types only, so it is gone when the program runs. */
  readonly typesOnly: boolean;
}

export interface Sources {
  readonly files: readonly string[];
  readonly imports: readonly Import[];
}

/**
 * Reads what the source files below a folder import from each other, with the parser of TypeScript. Specs and
 * fixtures are left out, and so are packages.
 */
export function readImports(root: string, folder: string): Sources {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => posix.join(folder, name.replaceAll('\\', '/')))
    .filter((name) => /\.tsx?$/.test(name) && !/\.(spec|fixture|d)\.tsx?$/.test(name))
    .toSorted();
  const known = new Set(files);
  const imports = files.flatMap((from) =>
    importsIn(readFileSync(join(root, from), 'utf8'))
      .map(({ specifier, typesOnly }) => ({
        from,
        to: posix.join(dirname(from), specifier).replace(/\.js$/, '.ts'),
        typesOnly,
      }))
      .filter(({ to }) => known.has(to)),
  );
  return { files, imports };
}

/**
 * @returns each module that a text of TypeScript names: `import`, `export from`, `import()` and `typeof
 * import()`.
 */
export function importsIn(text: string): { specifier: string; typesOnly: boolean }[] {
  const found: { specifier: string; typesOnly: boolean }[] = [];
  function visit(node: ts.Node): void {
    const specifier = specifierOf(node);
    if (specifier !== undefined && ts.isStringLiteralLike(specifier)) {
      found.push({ specifier: specifier.text, typesOnly: bringsTypesOnly(node) });
    }
    ts.forEachChild(node, visit);
  }
  visit(ts.createSourceFile('source.ts', text, ts.ScriptTarget.Latest));
  return found;
}

function specifierOf(node: ts.Node): ts.Node | undefined {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier;
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    return node.arguments[0];
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) return node.argument.literal;
  return undefined;
}

function bringsTypesOnly(node: ts.Node): boolean {
  if (ts.isImportTypeNode(node)) return true;
  if (ts.isExportDeclaration(node)) {
    return node.isTypeOnly || areTypes(node.exportClause);
  }
  if (!ts.isImportDeclaration(node)) return false;
  const clause = node.importClause;
  if (clause === undefined) return false;
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  return clause.name === undefined && areTypes(clause.namedBindings);
}

function areTypes(bindings: ts.NamedImportBindings | ts.NamedExportBindings | undefined): boolean {
  if (bindings === undefined || !(ts.isNamedImports(bindings) || ts.isNamedExports(bindings))) return false;
  return bindings.elements.length > 0 && bindings.elements.every((element) => element.isTypeOnly);
}
