import { createContext } from 'preact';
import { useCallback, useContext, useEffect, useMemo, useState } from 'preact/hooks';
import { Client } from './api/client.js';
import { ProblemError, describeProblem } from './api/problem.js';
import { storeToken, storedToken } from './api/token.js';
import type { Caller } from './api/views.js';

/** The user of this page, in whose name it sends requests. */
export interface Session {
  readonly client: Client;
  readonly access: Caller;
  /** Asks for a token, from a user who reads without one. */
  readonly askForToken: () => void;
  /** Forgets the token. */
  readonly signOut: () => void;
}

export type Entrance =
  | { readonly kind: 'asking' }
  /** `canStay` when reading is open, so that no token is needed to read. */
  | { readonly kind: 'token-needed'; readonly problem: string | null; readonly canStay: boolean }
  | { readonly kind: 'unreachable'; readonly problem: string }
  | { readonly kind: 'open'; readonly session: Session };

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error('There is no session here.');
  return session;
}

/** @returns whether the user is signed in, and the functions to change that. */
export function useEntrance(): {
  readonly entrance: Entrance;
  readonly enter: (token: string | null) => void;
  readonly refuse: () => void;
} {
  const [entrance, setEntrance] = useState<Entrance>({ kind: 'asking' });
  const [attempt, setAttempt] = useState<{ readonly token: string | null }>(() => ({ token: storedToken() }));
  const enter = useCallback((token: string | null) => setAttempt({ token }), []);
  const refuse = useCallback(() => {
    storeToken(null);
    setEntrance({ kind: 'token-needed', problem: 'The token is no longer accepted.', canStay: false });
  }, []);

  useEffect(() => {
    const { token } = attempt;
    const client = new Client(token);
    const leaving = new AbortController();
    setEntrance((before) => (before.kind === 'token-needed' ? before : { kind: 'asking' }));
    const askForToken = (): void => setEntrance({ kind: 'token-needed', problem: null, canStay: true });
    const signOut = (): void => {
      storeToken(null);
      enter(null);
    };
    client.get<Caller>('access', leaving.signal).then(
      (access) => {
        storeToken(token);
        setEntrance({ kind: 'open', session: { client, access, askForToken, signOut } });
      },
      (error: unknown) => {
        if (leaving.signal.aborted) return;
        setEntrance(entranceAfter(error, token));
      },
    );
    return () => leaving.abort();
  }, [attempt, enter]);

  return useMemo(() => ({ entrance, enter, refuse }), [entrance, enter, refuse]);
}

function entranceAfter(error: unknown, token: string | null): Entrance {
  if (!(error instanceof ProblemError) || !error.isUnauthenticated) {
    return { kind: 'unreachable', problem: describeProblem(error) };
  }
  storeToken(null);
  return {
    kind: 'token-needed',
    problem: token === null ? null : 'This token is not accepted.',
    canStay: false,
  };
}
