import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const REPORTS = join(import.meta.dirname, '../../packages/nestjs-dtc/api');

/** The public types of an entry, as its report has them. */
function reportOf(file: string): ts.SourceFile {
  const [, code] = /^```ts\n(.*?)^```$/ms.exec(readFileSync(join(REPORTS, file), 'utf8'))!;
  return ts.createSourceFile(file, code!, ts.ScriptTarget.Latest, true);
}

/** @returns the properties that can be assigned to, each as `Type.property`. */
function mutableIn(node: ts.Node, owner = ''): string[] {
  const named =
    ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node) || ts.isTypeAliasDeclaration(node);
  const type = named ? node.name!.text : owner;
  const found: string[] = [];
  if ((ts.isPropertySignature(node) || ts.isPropertyDeclaration(node)) && !isReadonly(node))
    found.push(`${type}.${node.name.getText()}`);
  ts.forEachChild(node, (child) => {
    found.push(...mutableIn(child, type));
  });
  return found;
}

function isReadonly(node: ts.PropertySignature | ts.PropertyDeclaration): boolean {
  return node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ReadonlyKeyword) === true;
}

describe('the public types', () => {
  const files = readdirSync(REPORTS);

  it('have a report for each entry', () => {
    const { exports } = JSON.parse(readFileSync(join(REPORTS, '../package.json'), 'utf8')) as {
      exports: Record<string, unknown>;
    };
    const entries = Object.keys(exports).filter((entry) => entry !== './package.json');
    const names = entries.map((entry) => (entry === '.' ? 'index' : entry.slice('./'.length)));
    expect(files.toSorted()).toEqual(names.map((name) => `${name}.api.md`).toSorted());
  });

  it.each(files)('of %s are views: none of their properties can be assigned to', (file) => {
    const report = reportOf(file);
    expect(report.statements.length).toBeGreaterThan(1);
    expect(mutableIn(report)).toEqual([]);
  });

  it.each(files)('of %s name no library for schemas', (file) => {
    expect(reportOf(file).text).not.toMatch(/\bzod\b|\bz\./);
  });
});
