import { AddressRefusedError } from './errors.js';

const ORIGIN = /^(https?):\/\/(\*\.)?([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?$/i;

/** The visible characters of ASCII: a URL needs no other ones. */
const WRITTEN = /^[!-~]+$/;

/**
 * Decides which addresses a participant may have that registers itself. An entry is an origin, such as
 * `https://stock.internal:8443`, or one with `*.` for all hosts below a domain, such as `https://*.internal`.
 * The port counts, also the default one.
 */
export class AllowedAddresses {
  private readonly entries: readonly {
    readonly protocol: string;
    readonly host: string;
    readonly port: string;
    readonly isDomain: boolean;
  }[];

  /** @throws RangeError for an entry that is none. */
  constructor(entries: readonly string[]) {
    this.entries = entries.map((entry) => {
      const match = typeof entry === 'string' ? ORIGIN.exec(entry) : null;
      if (match === null)
        throw new RangeError(
          `allow: ${JSON.stringify(entry)} is no origin such as https://stock.internal or https://*.internal`,
        );
      const [, , domain, host] = match;
      const url = new URL(entry.replace('*.', ''));
      return {
        protocol: url.protocol,
        host: host!.toLowerCase(),
        port: url.port,
        isDomain: domain !== undefined,
      };
    });
  }

  /** @throws AddressRefusedError when the address is none, or is not allowed. */
  check(address: string): URL {
    return this.admitted(addressOf(address));
  }

  /**
   * As {@link check}, for the URL of one resource of a participant, which may have a query.
   *
   * @throws AddressRefusedError when it is no such URL, or is not allowed.
   */
  checkResource(address: string): URL {
    const url = urlOf(address);
    if (url.username !== '' || url.password !== '' || url.hash !== '')
      throw new AddressRefusedError('it must have no user and no fragment');
    return this.admitted(url);
  }

  private admitted(url: URL): URL {
    const isAllowed = this.entries.some(
      ({ protocol, host, port, isDomain }) =>
        url.protocol === protocol &&
        url.port === port &&
        (isDomain ? url.hostname.endsWith(`.${host}`) : url.hostname === host),
    );
    if (!isAllowed) throw new AddressRefusedError(`${url.origin} is not in the option allow`);
    return url;
  }
}

/**
 * Reads the address of a participant host.
 *
 * @throws AddressRefusedError when it is no URL of HTTP, has other characters than those of a URL, or has a
 * user, a query or a fragment.
 */
export function addressOf(address: string): URL {
  const url = urlOf(address);
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new AddressRefusedError('it must have no user, no query and no fragment');
  }
  return url;
}

/** @throws AddressRefusedError when it is no URL of HTTP, or has other characters than those of a URL. */
function urlOf(address: string): URL {
  // The parser drops line feeds and tabs, and the text is kept and logged as it came.
  const url = WRITTEN.test(address) && URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new AddressRefusedError(
      'it must be a URL of http or https, such as http://stock:3000/participants',
    );
  }
  return url;
}
