import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DOCUMENTS } from './documents.js';

const ROOT = join(import.meta.dirname, '../..');

/** A block of code in a document. */
export interface Block {
  readonly document: string;
  /** The line on which it starts. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
  /** The file that the reader is told to put it into, in the sentence before it. */
  readonly file: string | undefined;
}

/** @returns the blocks of code of a document, in their order. */
export function blocksIn(document: string): Block[] {
  const text = readFileSync(join(ROOT, document), 'utf8');
  return Array.from(
    text.matchAll(/^```(\w*)\n([^]*?)^```$/gm),
    ({ index, 1: language = '', 2: code = '' }) => {
      const before = text.slice(0, index);
      const sentences = before.slice(before.trimEnd().lastIndexOf('\n\n') + 2);
      const [, file] = /\bPut this into `([^`]+)`/.exec(sentences) ?? [];
      return { document, line: before.split('\n').length, language, code, file };
    },
  );
}

/** @returns the blocks of all documents in a language. */
export function allBlocks(language: string): Block[] {
  return DOCUMENTS.flatMap(blocksIn).filter((block) => block.language === language);
}
