import { useEffect, useState } from 'preact/hooks';
import type { Client } from '../../api/client.js';
import type { LinkTemplate } from '../../api/views.js';
import { useSession } from '../../session.js';

/** They do not change while the coordinator runs, so they are asked for once. */
const asked = new WeakMap<Client, Promise<readonly LinkTemplate[]>>();

/** @returns the links of transactions to other tools; none until they are there, and none of a coordinator that has no such route. */
export function useLinks(): readonly LinkTemplate[] {
  const { client } = useSession();
  const [links, setLinks] = useState<readonly LinkTemplate[]>([]);
  useEffect(() => {
    let isClosed = false;
    void templatesOf(client).then((templates) => {
      if (!isClosed) setLinks(templates);
    });
    return () => {
      isClosed = true;
    };
  }, [client]);
  return links;
}

function templatesOf(client: Client): Promise<readonly LinkTemplate[]> {
  let templates = asked.get(client);
  if (templates === undefined) {
    templates = client.get<{ readonly links: readonly LinkTemplate[] }>('links').then(
      ({ links }) => links,
      () => {
        // The next transaction asks again.
        asked.delete(client);
        return [];
      },
    );
    asked.set(client, templates);
  }
  return templates;
}
