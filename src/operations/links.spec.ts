import { describe, expect, it } from 'vitest';
import { InvalidOptionsError } from '../coordinator/index.js';
import { Links, linkProblemsOf, pageProblemsOf } from './links.js';

function problemOf(url: unknown): string | undefined {
  return linkProblemsOf([{ label: 'Trace', url }])[0];
}

describe('The links of a transaction to other tools', () => {
  it.each([
    'https://traces.example/{traceId}',
    'http://localhost:3100/explore?query={transactionId}&x={requestId}#{name}',
    'HTTPS://logs.example/?q=%7B{transactionId}%7D',
  ])('may be %s', (url) => {
    expect(problemOf(url)).toBeUndefined();
    expect(new Links([{ label: 'Trace', url }]).templates).toEqual([{ label: 'Trace', url }]);
  });

  it.each([
    ['javascript:alert({traceId})', 'http:// or https://'],
    ['data:text/html,{traceId}', 'http:// or https://'],
    ['//traces.example/{traceId}', 'must be an address'],
    ['/traces/{traceId}', 'must be an address'],
    ['{traceId}', 'must be an address'],
    ['https://{traceId}/x', 'no placeholder in its host'],
    ['https://{traceId}.example/x', 'no placeholder in its host'],
    ['https://traces.example:{traceId}/x', 'must be an address'],
    ['https://user:secret@traces.example/{traceId}', 'a user or a password'],
    ['https://traces.example/{trace}', '{trace} is no placeholder'],
    ['https://traces.example/{}', '{} is no placeholder'],
    [`https://traces.example/${'x'.repeat(2_000)}`, 'at most 2000'],
    [7, 'must be a text'],
  ])('may not be %s', (url, problem) => {
    expect(problemOf(url)).toMatch(/^links\[0\]\.url: /);
    expect(problemOf(url)).toContain(problem);
  });

  it('are a list with labels, and nothing else', () => {
    const link = { label: 'Trace', url: 'https://traces.example/' };
    expect(linkProblemsOf(undefined)).toEqual([]);
    expect(linkProblemsOf(link)).toEqual([expect.stringMatching(/^links: must be a list/)]);
    expect(
      linkProblemsOf(Array.from({ length: 11 }, (_, index) => ({ ...link, label: String(index) }))),
    ).toHaveLength(1);
    expect(linkProblemsOf([link, { ...link, label: ' ', target: '_top' }, null])).toEqual([
      'links[1].target: is not an option of a link',
      'links[1].label: must be a text of 1 to 40 characters',
      'links[2].label: must be a text of 1 to 40 characters',
      'links[2].url: must be a text',
    ]);
    expect(linkProblemsOf([link, link])).toEqual(['links[1].label: is that of another link']);
    expect(() => new Links([{ label: 'x', url: 'ftp://x' }])).toThrow(InvalidOptionsError);
  });
});

describe('The links of the dashboard to pages of the application', () => {
  const problemOf = (url: unknown): string | undefined => pageProblemsOf([{ label: 'Orders', url }])[0];

  it.each(['/demo', '/', '/orders?state=open#top', 'https://shop.example/', 'HTTP://localhost:3000/x'])(
    'may be %s',
    (url) => {
      expect(problemOf(url)).toBeUndefined();
      expect(new Links([], [{ label: 'Orders', url }]).pages).toEqual([{ label: 'Orders', url }]);
    },
  );

  it.each([
    ['//evil.example/', 'or a path'],
    ['/\\evil.example/', 'or a path'],
    ['/a\\b', 'or a path'],
    ['/a b', 'or a path'],
    ['demo', 'or a path'],
    ['javascript:alert(1)', 'or a path'],
    ['https://', 'or a path'],
    ['https://user:secret@shop.example/', 'a user or a password'],
    [`/${'x'.repeat(2_000)}`, 'at most 2000'],
    [7, 'must be a text'],
  ])('may not be %s', (url, problem) => {
    expect(problemOf(url)).toMatch(/^pages\[0\]\.url: /);
    expect(problemOf(url)).toContain(problem);
  });

  it('are few', () => {
    const pages = Array.from({ length: 6 }, (_, index) => ({ label: String(index), url: '/' }));
    expect(pageProblemsOf(pages)).toEqual([expect.stringMatching(/^pages: must be a list of at most 5/)]);
    expect(() => new Links([], pages)).toThrow(InvalidOptionsError);
  });
});
