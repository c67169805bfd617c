import { describe, expect, it } from 'vitest';
import { addressOf, filtersIn, parametersOf } from './filters.js';

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

  it('leave out unknown values', () => {
    const filters = filtersIn(new URLSearchParams('state=LOST&show=toString&order=random&other=1'));
    expect(parametersOf(filters).toString()).toBe('');
  });

  it('come back from their address', () => {
    const filters = filtersIn(new URLSearchParams('show=stalled&participant=payment'));
    expect(filtersIn(new URLSearchParams(addressOf(filters)))).toEqual(filters);
  });
});
