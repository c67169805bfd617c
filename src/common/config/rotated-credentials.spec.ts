import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rotatedCredentials } from './rotated-credentials.js';

describe('rotatedCredentials', () => {
  let folder: string;
  let file: string;
  let now = 0;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'credentials-'));
    file = join(folder, 'tokens');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const named = (source: () => readonly { readonly name: string }[]): string[] =>
    source().map(({ name }) => name);

  it('takes a file that was written anew after a second, and not before', () => {
    writeFileSync(file, 'shop:the-first-token-1\n');
    const source = rotatedCredentials('CALLER_TOKENS', { CALLER_TOKENS_FILE: file }, () => now);
    const first = source();
    expect(named(source)).toEqual(['shop']);
    expect(source()).toBe(first);

    writeFileSync(file, 'shop:the-second-token-2\ndesk:the-third-token-33\n');
    expect(source()).toBe(first);
    now += 1_000;
    expect(named(source)).toEqual(['shop', 'desk']);
  });

  it('says what is wrong with a file that cannot be used, without its content, and takes it once it is right', () => {
    writeFileSync(file, 'shop:the-first-token-1\n');
    const source = rotatedCredentials('CALLER_TOKENS', { CALLER_TOKENS_FILE: file }, () => now);
    for (const text of ['shop:short\n', '']) {
      writeFileSync(file, text);
      now += 1_000;
      expect(source).toThrow(/CALLER_TOKENS_FILE: (?!.*short)/);
    }
    rmSync(file);
    now += 1_000;
    expect(source).toThrow('ENOENT');
    writeFileSync(file, 'desk:the-third-token-33\n');
    now += 1_000;
    expect(named(source)).toEqual(['desk']);
  });

  it('takes a variable as it is, and none for no credentials', () => {
    expect(named(rotatedCredentials('CALLER_TOKENS', { CALLER_TOKENS: 'shop:the-first-token-1' }))).toEqual([
      'shop',
    ]);
    expect(rotatedCredentials('CALLER_TOKENS', {})()).toEqual([]);
  });
});
