import { isIP } from 'node:net';

const ADDRESS = /^(tcp|udp|sctp):\/\/\S+$/;
const PROTOCOL = /^(tcp|udp|sctp)$/;
const NUMBER = /^\d{1,5}$/;

/** The suffixes that a Service adds to its own name, and the form of the value. */
const FORMS: readonly { readonly ending: RegExp; readonly fits: (value: string) => boolean }[] = [
  { ending: /_SERVICE_HOST$/, fits: isAddress },
  { ending: /_SERVICE_PORT(_[A-Z0-9_]+)?$/, fits: (value) => NUMBER.test(value) },
  { ending: /_PORT$/, fits: (value) => ADDRESS.test(value) },
  { ending: /_PORT_\d+_(TCP|UDP|SCTP)$/, fits: (value) => ADDRESS.test(value) },
  { ending: /_PORT_\d+_(TCP|UDP|SCTP)_PROTO$/, fits: (value) => PROTOCOL.test(value) },
  { ending: /_PORT_\d+_(TCP|UDP|SCTP)_PORT$/, fits: (value) => NUMBER.test(value) },
  { ending: /_PORT_\d+_(TCP|UDP|SCTP)_ADDR$/, fits: isAddress },
];

function isAddress(value: string): boolean {
  return isIP(value) !== 0;
}

/**
 * Kubernetes puts the address of each Service of a namespace into the environment of every pod there: a
 * Service `dtc` makes DTC_SERVICE_HOST, DTC_PORT=tcp://10.96.0.7:3000, DTC_PORT_3000_TCP and more. Links of
 * Docker look alike.
 *
 * @returns whether a variable is such a link: it has both such a name and such a value.
 */
export function isServiceLink(name: string, value: string): boolean {
  return FORMS.some(({ ending, fits }) => ending.test(name) && fits(value));
}
