import { createContext } from 'preact';
import { useContext, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Client } from '../api/client.js';
import type { Overview } from '../api/views.js';
import { type Connection, OverviewFeed } from './overview-feed.js';
import { type Sample, withSample } from './rates.js';

/** The known state of the coordinator. */
export interface Live {
  readonly connection: Connection;
  /** The latest overview; old when the connection is lost. */
  readonly overview: Overview | null;
  /** When it arrived, as a moment of `performance.now()`. */
  readonly receivedAtMs: number;
  readonly samples: readonly Sample[];
  readonly retryNow: () => void;
}

interface Known {
  readonly overview: Overview | null;
  readonly receivedAtMs: number;
  readonly samples: readonly Sample[];
}

const NOTHING_YET: Known = { overview: null, receivedAtMs: 0, samples: [] };

export const LiveContext = createContext<Live>({
  ...NOTHING_YET,
  connection: { kind: 'connecting' },
  retryNow: () => undefined,
});

/** @returns the known state of the coordinator. The component is drawn again at every change. */
export function useLive(): Live {
  return useContext(LiveContext);
}

/** Keeps the stream of events open while the component exists. */
export function useLiveFeed(client: Client, onUnauthenticated: () => void): Live {
  const [connection, setConnection] = useState<Connection>({ kind: 'connecting' });
  const [known, setKnown] = useState<Known>(NOTHING_YET);
  const feed = useRef<OverviewFeed | null>(null);

  useEffect(() => {
    const current = new OverviewFeed(client, {
      onConnection: setConnection,
      onUnauthenticated,
      onOverview: (overview) =>
        setKnown(({ samples }) => ({
          overview,
          receivedAtMs: performance.now(),
          samples: withSample(samples, overview),
        })),
    });
    feed.current = current;
    const retryNow = (): void => current.retryNow();
    window.addEventListener('online', retryNow);
    void current.run();
    return () => {
      window.removeEventListener('online', retryNow);
      current.stop();
    };
  }, [client, onUnauthenticated]);

  return useMemo(
    () => ({ ...known, connection, retryNow: () => feed.current?.retryNow() }),
    [known, connection],
  );
}

/** @returns the coordinator's own time of the latest overview, in milliseconds since 1970. */
export function useCoordinatorNow(): number {
  const { overview } = useLive();
  return overview === null ? Date.now() : Date.parse(overview.at);
}
