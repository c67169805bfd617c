const KEY = 'dtc.token';

/** The token lives as long as the tab: not in an address, a cookie or anything that outlasts it. */
export function storedToken(): string | null {
  return sessionStorage.getItem(KEY);
}

export function storeToken(token: string | null): void {
  if (token === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, token);
}

/** @returns whether it is valid in a header. */
export function isPossibleToken(token: string): boolean {
  return /^[\x21-\x7e]+$/.test(token);
}
