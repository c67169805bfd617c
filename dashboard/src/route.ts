import { useEffect, useState } from 'preact/hooks';

/** The page that the address after `#` selects. */
export type Route =
  | { readonly page: 'overview' }
  | { readonly page: 'transactions'; readonly query: URLSearchParams }
  | { readonly page: 'transaction'; readonly id: string }
  | { readonly page: 'runbook'; readonly name: string }
  | { readonly page: 'participants' }
  | { readonly page: 'groups' }
  | { readonly page: 'databases' }
  | { readonly page: 'messages' }
  | { readonly page: 'audit' }
  | { readonly page: 'unknown' };

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#/, '').split('?', 2);
  const [first = '', second, ...rest] = path.split('/').filter((part) => part !== '');
  if (rest.length > 0) return { page: 'unknown' };
  if (second !== undefined) {
    const id = decode(second);
    if (first === 'runbook' && id !== undefined) return { page: 'runbook', name: id };
    return first === 'transactions' && id !== undefined ? { page: 'transaction', id } : { page: 'unknown' };
  }
  if (first === '') return { page: 'overview' };
  if (first === 'transactions') return { page: 'transactions', query: new URLSearchParams(query) };
  return isPage(first) ? { page: first } : { page: 'unknown' };
}

const PAGES = ['participants', 'groups', 'databases', 'messages', 'audit'] as const;

function isPage(name: string): name is (typeof PAGES)[number] {
  return (PAGES as readonly string[]).includes(name);
}

export function transactionHref(transactionId: string): string {
  return `#/transactions/${encodeURIComponent(transactionId)}`;
}

/** @param name of an alarm, or the code of an error. */
export function runbookHref(name: string): string {
  return `#/runbook/${encodeURIComponent(name)}`;
}

export function transactionsHref(query: Readonly<Record<string, string>>): string {
  const text = new URLSearchParams(query).toString();
  return text === '' ? '#/transactions' : `#/transactions?${text}`;
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const follow = (): void => setRoute(parseRoute(location.hash));
    window.addEventListener('hashchange', follow);
    return () => window.removeEventListener('hashchange', follow);
  }, []);
  return route;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
