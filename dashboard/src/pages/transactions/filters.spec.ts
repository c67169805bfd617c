import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { addressOf, fieldOf, filtersIn, isFiltered, momentIn, parametersOf } from './filters.js';

describe('the filters of the list', () => {
  it('become parameters of the interface', () => {
    const filters = filtersIn(new URLSearchParams('show=inDoubt&state=READY&name=a%20b&order=oldest'));
    expect(parametersOf(filters).toString()).toBe('state=READY&name=a+b&order=oldest&inDoubt=true');
  });

  it('search for an attribute once it has a value', () => {
    const parameters = (attribute: string) =>
      parametersOf(filtersIn(new URLSearchParams({ attribute }))).toString();
    expect(parameters('orderId=4711')).toBe('attribute=orderId%3D4711');
    expect(parameters('orderId=')).toBe('');
    expect(parameters('4711')).toBe('');
  });

  it('search for texts, times and ages', () => {
    const query =
      'search=shop.1&cause=ECONN&startedAfter=2026-01-01T00%3A00%3A00.000Z&startedBefore=2026-01-02T00%3A00%3A00Z&minAgeMs=1000&maxAgeMs=60000';
    expect(parametersOf(filtersIn(new URLSearchParams(query))).toString()).toBe(query);
    const wrong =
      'startedAfter=yesterday&startedBefore=2026-01-32T00:00:00Z&minAgeMs=-1&maxAgeMs=old&search=&show=all';
    expect(parametersOf(filtersIn(new URLSearchParams(wrong))).toString()).toBe('');
    const long = filtersIn(new URLSearchParams({ search: 'x'.repeat(400), name: 'y'.repeat(400) }));
    const sent = parametersOf(long);
    expect([sent.get('search')!.length, sent.get('name')!.length]).toEqual([300, 100]);
  });

  it('have moments at the place of the user', () => {
    const field = fieldOf('2026-01-31T03:00:05.000Z');
    expect(new Date(field).toISOString()).toBe('2026-01-31T03:00:05.000Z');
    expect(momentIn(field)).toBe('2026-01-31T03:00:05.000Z');
    // The first digit of a year is one of such a year, whose offset from UTC has seconds in many places.
    vi.stubEnv('TZ', 'Europe/Berlin');
    onTestFinished(() => void vi.unstubAllEnvs());
    for (const typed of ['0002-01-31T10:00:00', '0202-01-31T10:00:00', '2026-01-31T10:00:00'])
      expect(fieldOf(momentIn(typed))).toBe(typed);
    expect([fieldOf(''), momentIn(''), momentIn('2026-13-01T')]).toEqual(['', '', '']);
  });

  it('leave something out, or only order it', () => {
    expect(isFiltered(filtersIn(new URLSearchParams('alarm=x')))).toBe(true);
    expect(isFiltered(filtersIn(new URLSearchParams('order=oldest')))).toBe(false);
  });

  it('leave out unknown values', () => {
    const filters = filtersIn(new URLSearchParams('state=LOST&show=toString&order=random&other=1'));
    expect(parametersOf(filters).toString()).toBe('');
  });

  it('come back from their address', () => {
    const filters = filtersIn(new URLSearchParams('show=stalled&participant=payment'));
    expect(filtersIn(new URLSearchParams(addressOf(filters)))).toEqual(filters);
  });
});
