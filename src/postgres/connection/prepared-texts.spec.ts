import { describe, expect, it } from 'vitest';
import { PreparedTexts } from './prepared-texts.js';

describe('PreparedTexts', () => {
  it('names a text that is repeated, or prepared at once, and never reuses a name', () => {
    const texts = new PreparedTexts();
    expect(texts.nameOf('one', false)).toBeUndefined();
    const first = texts.nameOf('one', false);
    // The result of the first is not known.
    const second = texts.nameOf('one', false);
    const third = texts.nameOf('two', true);
    expect(new Set([first?.name, second?.name, third?.name]).size).toBe(3);
    expect([first?.isThere, second?.isThere, third?.isThere]).toEqual([false, false, false]);
  });

  it('keeps the name of a prepared text until all are forgotten', () => {
    const texts = new PreparedTexts();
    const { name } = texts.nameOf('one', true)!;
    texts.prepared('one', name);
    expect(texts.nameOf('one', false)).toEqual({ name, isThere: true });
    texts.clear();
    expect(texts.nameOf('one', false)).toBeUndefined();
    expect(texts.nameOf('one', false)?.name).not.toBe(name);
  });

  it('does not prepare a text that has failed or is very long', () => {
    const texts = new PreparedTexts();
    texts.nameOf('one', true);
    texts.failed('one');
    expect(texts.nameOf('one', true)).toBeUndefined();
    expect(texts.nameOf(`SELECT ${'1'.repeat(10_000)}`, true)).toBeUndefined();
  });

  it('does not prepare a text with a literal whose value may change', () => {
    const texts = new PreparedTexts();
    const text = "INSERT INTO events VALUES ('now')";
    expect(texts.nameOf(text, true)).toBeUndefined();
    expect(texts.nameOf(text, false)).toBeUndefined();
    // Sent by itself it is as good as any other.
    expect(texts.isLeft(text)).toBe(false);
  });

  it('keeps a hundred texts: one that came once gives way, a prepared one does not', () => {
    const texts = new PreparedTexts();
    for (let number = 0; number < 1_000; number++) texts.nameOf(`once ${number}`, false);
    expect(texts.nameOf('once 999', false)).toBeDefined();
    expect(texts.nameOf('once 0', false)).toBeUndefined();
    const names = Array.from({ length: 200 }, (_, number) => {
      const name = texts.nameOf(`often ${number}`, true)?.name;
      if (name !== undefined) texts.prepared(`often ${number}`, name);
      return name;
    });
    expect(names.filter((name) => name !== undefined)).toHaveLength(100);
    expect(texts.nameOf('another', true)).toBeUndefined();
  });
});
