import { useEffect, useState } from 'preact/hooks';
import { useSession } from '../session.js';
import type { Client } from './client.js';
import type { LinksView } from './views.js';

/** They do not change while the coordinator runs, so they are asked for once. */
const asked = new WeakMap<Client, Promise<LinksView>>();

const NONE: LinksView = { links: [], pages: [] };

/**
 * @returns the links to other tools and pages; none until they are there, and none of a coordinator that has
 * no such route.
 */
export function useLinks(): LinksView {
  const { client } = useSession();
  const [links, setLinks] = useState(NONE);
  useEffect(() => {
    let isClosed = false;
    void linksOf(client).then((found) => {
      if (!isClosed) setLinks(found);
    });
    return () => {
      isClosed = true;
    };
  }, [client]);
  return links;
}

function linksOf(client: Client): Promise<LinksView> {
  let links = asked.get(client);
  if (links === undefined) {
    links = client.get<LinksView>('links').then(
      (found) => ({ ...NONE, ...found }),
      () => {
        // Who needs them next asks again.
        asked.delete(client);
        return NONE;
      },
    );
    asked.set(client, links);
  }
  return links;
}
