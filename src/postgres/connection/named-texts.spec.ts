import { DatabaseError } from 'pg';
import { describe, expect, it } from 'vitest';
import { NamedTexts } from './named-texts.js';

const CHANGE = 'UPDATE stock SET available = $1';

function errorOf(code: string): DatabaseError {
  return Object.assign(new DatabaseError('no', 0, 'error'), { code });
}

/** @returns the name that a text has when it comes for the second time. */
function nameOf(texts: NamedTexts, text: string): string | undefined {
  texts.nameOf(text);
  return texts.nameOf(text)?.name;
}

describe('NamedTexts', () => {
  it('names a change that is repeated, always the same', () => {
    const texts = new NamedTexts();
    expect(texts.nameOf(CHANGE)).toBeUndefined();
    const name = texts.nameOf(CHANGE)?.name;
    expect(name).toMatch(/^dtc /);
    expect(texts.nameOf(CHANGE)?.name).toBe(name);
    expect(nameOf(texts, `${CHANGE} WHERE sku = $2`)).not.toBe(name);
    texts.clear();
    expect(nameOf(texts, CHANGE)).not.toBe(name);
  });

  it.each([
    'SELECT available FROM stock WHERE sku = $1',
    'WITH gone AS (DELETE FROM stock WHERE sku = $1) SELECT 1',
    `${CHANGE} RETURNING *`,
    "UPDATE stock SET changed_at = 'now' WHERE sku = $1",
    'UPDATE stock SET changed_at = $tag$now$tag$ WHERE sku = $1',
    `${CHANGE} -- ${'long '.repeat(2_000)}`,
  ])('names nothing that may change its meaning, or is long: %.60s', (text) => {
    expect(nameOf(new NamedTexts(), text)).toBeUndefined();
  });

  it.each(['22003', '42P18', '0A000', '26000'])('names a text no more that does not fit: %s', (code) => {
    const texts = new NamedTexts();
    nameOf(texts, CHANGE);
    texts.failed(CHANGE, errorOf(code));
    expect(nameOf(texts, CHANGE)).toBeUndefined();
  });

  it('names a text no more whose values could not be sent', () => {
    const texts = new NamedTexts();
    nameOf(texts, CHANGE);
    texts.failed(CHANGE, new TypeError('a getter of a value threw'));
    expect(nameOf(texts, CHANGE)).toBeUndefined();
  });

  it('keeps the name of a text that fails for another reason', () => {
    const texts = new NamedTexts();
    const name = nameOf(texts, CHANGE);
    texts.failed(CHANGE, errorOf('23514'));
    expect(texts.nameOf(CHANGE)?.name).toBe(name);
  });

  it('knows that the server has a text only after its success', () => {
    const texts = new NamedTexts();
    nameOf(texts, CHANGE);
    expect(texts.nameOf(CHANGE)?.isThere).toBe(false);
    texts.succeeded(CHANGE);
    expect(texts.nameOf(CHANGE)?.isThere).toBe(true);
    // An answer that was on its way when the session lost its statements.
    texts.clear();
    texts.succeeded(CHANGE);
    nameOf(texts, CHANGE);
    expect(texts.nameOf(CHANGE)?.isThere).toBe(false);
  });

  it('names no more than a hundred texts, and keeps no more', () => {
    const texts = new NamedTexts();
    // Texts that come once make room for others.
    for (let number = 0; number < 300; number++)
      texts.nameOf(`UPDATE stock SET once = ${number} WHERE sku = $1`);
    const names = Array.from({ length: 150 }, (_, number) =>
      nameOf(texts, `${CHANGE} WHERE sku = ${number}`),
    );
    expect(names.filter((name) => name !== undefined)).toHaveLength(100);
    expect(nameOf(texts, CHANGE)).toBeUndefined();
  });
});
