import { describe, expect, it } from 'vitest';
import { meantName } from './meant-name.js';

const KNOWN = [
  'PORT',
  'READER_TOKENS',
  'READER_TOKENS_FILE',
  'DTC_NAME',
  'DTC_PREPARE_TIMEOUT_MS',
  'DTC_TIMEOUT_MS',
  'DTC_MAX_STALLED',
  'DTC_MAX_ATTEMPTS',
];

describe('The intended name', () => {
  it.each([
    ['DTC_PORT', 'PORT', 'the prefix is superfluous'],
    ['DTC_READER_TOKENS', 'READER_TOKENS', 'the prefix is superfluous'],
    ['MAX_STALLED', 'DTC_MAX_STALLED', 'the prefix is missing'],
    ['DTC_READER_TOKEN', 'READER_TOKENS', 'the prefix is superfluous, and a letter missing'],
    ['DTC_NMAE', 'DTC_NAME', 'two letters are swapped'],
    ['DTC_TIMEOUT_SECONDS', 'DTC_TIMEOUT_MS', 'one word differs, and no other name differs less'],
    ['DTC_TIMEOUT_OF_PREPARE', 'DTC_PREPARE_TIMEOUT_MS', 'most words are in it'],
  ])('by %s is %s, when %s', (name, meant) => {
    expect(meantName(name, KNOWN)).toBe(meant);
  });

  it.each([
    ['DTC_COLOUR', 'nothing is like it'],
    ['DTC_COLOUR_MS', 'only the unit is shared'],
    ['DTC_COLOUR_FILE', 'only the word for files is shared'],
    ['DTC_MAX_COLOUR', 'two names share as much'],
  ])('by %s is undefined, when %s', (name) => {
    expect(meantName(name, KNOWN)).toBeUndefined();
  });
});
