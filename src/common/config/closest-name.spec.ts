import { describe, expect, it } from 'vitest';
import { closestName } from './closest-name.js';

const KNOWN = ['DTC_NAME', 'DTC_TIMEOUT_MS', 'DTC_RETRY_CAP_MS', 'DTC_RETRY_BASE_MS'];

describe('The closest name', () => {
  it.each([
    ['DTC_TIMEOUT', 'DTC_TIMEOUT_MS', 'three characters are missing'],
    ['DTC_TIMEOUT_MS_', 'DTC_TIMEOUT_MS', 'there is one too many'],
    ['DTC_TIMEOTU_MS', 'DTC_TIMEOUT_MS', 'two are swapped'],
    ['DTC_NANE', 'DTC_NAME', 'one is another'],
    ['DTC_RETRY_CASE_MS', 'DTC_RETRY_BASE_MS', 'one name is nearer than the other'],
  ])('to %s is %s, when %s', (name, closest) => {
    expect(closestName(name, KNOWN)).toBe(closest);
  });

  it.each(['DTC_TIMEOUTS', 'DTC_X', 'DTC_RETRIES', ''])('to %j is undefined, when none is near', (name) => {
    const far = KNOWN.filter((known) => known !== 'DTC_TIMEOUT_MS');
    expect(closestName(name, far)).toBeUndefined();
  });

  it('is the first of equally near names', () => {
    expect(closestName('abcdef', ['abcdeg', 'abcdeh'])).toBe('abcdeg');
  });
});
