import { describe, expect, it } from 'vitest';
import { Access, type AccessOptions } from './access.js';

const READER = { name: 'prometheus', token: 'a-reader-s-token-1' };
const OPERATOR = { name: 'alice', token: 'an-operator-s-token' };

const bearer = ({ token }: { token: string }): string => `Bearer ${token}`;
const unauthenticated = expect.objectContaining({ code: 'DTC_UNAUTHENTICATED' }) as Error;

describe('Access', () => {
  const access = new Access({ readers: [READER], operators: [OPERATOR] });

  it('lets readers read, and operators read and act', () => {
    expect(access.admit(bearer(READER), 'reader')).toEqual({ name: 'prometheus', role: 'reader' });
    expect(access.admit(bearer(OPERATOR), 'reader')).toEqual({ name: 'alice', role: 'operator' });
    expect(access.admit(bearer(OPERATOR), 'operator')).toEqual({ name: 'alice', role: 'operator' });
    expect(access.admit(`bearer   ${OPERATOR.token}`, 'operator')).toMatchObject({ name: 'alice' });
  });

  it('forbids a reader to act, by its name', () => {
    expect(() => access.admit(bearer(READER), 'operator')).toThrow(
      expect.objectContaining({ code: 'DTC_FORBIDDEN', caller: 'prometheus' }) as Error,
    );
  });

  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    READER.token,
    `Basic ${READER.token}`,
    `Bearer ${READER.token}x`,
    `Bearer ${READER.token.slice(0, -1)}`,
    `Bearer ${READER.token} ${READER.token}`,
    `Bearer ${READER.token}\n`,
    `Bearer ${READER.token.toUpperCase()}`,
    `Bearer ${'x'.repeat(513)}`,
    'Bearer ключ-ключ-ключ-ключ',
  ])('admits no caller with the header %j', (authorization) => {
    expect(() => access.admit(authorization, 'reader')).toThrow(unauthenticated);
    expect(() => access.admit(authorization, 'operator')).toThrow(unauthenticated);
  });

  it('lets every caller read if it is configured so, and no caller act without a token', () => {
    const open = new Access({ readers: 'anyone', operators: [OPERATOR] });
    expect(open.admit(undefined, 'reader')).toEqual({ name: null, role: 'anyone' });
    expect(() => open.admit(undefined, 'operator')).toThrow(unauthenticated);
    expect(() => open.admit('Bearer of-no-caller-at-all-1', 'reader')).toThrow(unauthenticated);
    expect(open.admit(bearer(OPERATOR), 'operator')).toMatchObject({ name: 'alice' });
  });

  it('treats a caller without a token as a page of another origin unless it asks by a known host name', () => {
    const local = new Access({
      readers: 'anyone',
      operators: [OPERATOR],
      hosts: ['localhost', '127.0.0.1', '[::1]'],
    });
    for (const host of ['localhost', 'LocalHost:3000', '127.0.0.1:3000', '[::1]:3000', '[::1]']) {
      expect(local.admit(undefined, 'reader', host)).toMatchObject({ role: 'anyone' });
    }
    for (const host of [
      undefined,
      '',
      'evil.example',
      'evil.example:3000',
      'localhost.evil.example',
      '127.0.0.1.evil',
    ]) {
      expect(() => local.admit(undefined, 'reader', host)).toThrow(unauthenticated);
      expect(local.admit(bearer(OPERATOR), 'operator', host)).toMatchObject({ name: 'alice' });
    }
  });

  it('admits no caller by default', () => {
    const closed = new Access({});
    expect(() => closed.admit(undefined, 'reader')).toThrow(unauthenticated);
    expect(() => closed.admit('Bearer undefined-undefined', 'reader')).toThrow(unauthenticated);
  });

  const refusal = (problem: RegExp): unknown =>
    expect.objectContaining({
      code: 'DTC_INVALID_OPTIONS',
      message: expect.stringMatching(problem) as unknown,
    });

  it.each<[description: string, options: object, problem: RegExp]>([
    [
      'that is short',
      { operators: [{ name: 'alice', token: 'short' }] },
      /token of "alice" must be .* at least 16/,
    ],
    ['that two have', { readers: [OPERATOR], operators: [OPERATOR] }, /token of its own/],
    [
      'that is undefined',
      { operators: [{ name: 'alice', token: undefined }] },
      /operators\[0\]\.token: is missing: set/,
    ],
    ['that is empty', { readers: [{ name: 'rita', token: '' }] }, /readers\[0\]\.token: is missing/],
    ['without a name', { readers: [READER, { token: READER.token }] }, /readers\[1\]\.name: must be/],
    ['that is no credential', { operators: [undefined] }, /operators\[0\]\.name: must be/],
    ['outside of a list', { operators: OPERATOR }, /operators: must be a list/],
    [
      'beside a check of the application',
      { operators: [OPERATOR], authorize: () => undefined },
      /decides alone/,
    ],
    ['beside an option that is not known', { operator: [OPERATOR] }, /operator: is not an option/],
    ['beside an option of the routes', { prefix: 'admin' }, /prefix: is not an option of who may/],
    ['beside one host', { readers: 'anyone', hosts: 'localhost' }, /hosts: must be a list of host names/],
    ['beside no list of hosts', { readers: 'anyone', hosts: null }, /hosts: must be a list/],
    ['beside a host that is no text', { readers: 'anyone', hosts: [undefined] }, /hosts: must be a list/],
    [
      'beside a host with a port',
      { readers: 'anyone', hosts: ['localhost:3000'] },
      /hosts: .* without a port/,
    ],
    ['without a list', { readers: null, authorize: () => undefined }, /readers: must be a list/],
    ['that is a check and no function', { authorize: true }, /authorize: must be a function/],
  ])('takes no token %s', (_description, options, problem) => {
    expect(() => new Access(options as AccessOptions)).toThrow(refusal(problem));
  });

  it.each([undefined, null, 'anyone', true])('takes no options that are %j', (options) => {
    expect(() => new Access(options as unknown as AccessOptions)).toThrow(refusal(/must be an object/));
  });
});
