/** The certificate of the other side leads to no authority that this process knows. */
const UNKNOWN_AUTHORITY: readonly string[] = [
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'INVALID_CA',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
];

/** Why this process has refused the certificate of the other side, by the code of the error. */
const REFUSED_HERE: Readonly<Record<string, (error: Error) => string>> = {
  ...Object.fromEntries(
    UNKNOWN_AUTHORITY.map((code) => [
      code,
      () =>
        `its certificate is of an authority that is not known here (${code}); give the certificate of that authority as tls.ca, ` +
        'or to Node in NODE_EXTRA_CA_CERTS',
    ]),
  ),
  ERR_TLS_CERT_ALTNAME_INVALID: (error) =>
    `its certificate is for another host (${namesIn(error)}); use a name of the certificate in the address, or give that name ` +
    'as tls.servername',
  CERT_HAS_EXPIRED: () =>
    'its certificate has expired (CERT_HAS_EXPIRED); renew it there, and check the clock of this machine',
  CERT_NOT_YET_VALID: () =>
    'its certificate is not valid yet (CERT_NOT_YET_VALID); check the clocks of both machines',
};

const NOT_TLS: ReadonlySet<string> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
]);

const CLOSED: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE']);
const ACCEPTED = 'tls.cert and tls.key of an authority that it knows, and not expired';

/** Alerts by which the other side says that it wants a certificate of this process, or another one. */
const ALERT = /^ERR_SSL_(TLSV\d+|SSLV3)_ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE)$/;
const ALERT_REFUSED =
  /^ERR_SSL_(TLSV\d+|SSLV3)_ALERT_(BAD_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|UNSUPPORTED_CERTIFICATE)$/;

/** Whether this process has refused the certificate of the other side: nothing was sent to it. */
export function isRefusedCertificate(error: unknown): boolean {
  return Object.hasOwn(REFUSED_HERE, codeOf(error));
}

/**
 * @param isNew whether the error came before any answer on a new connection over TLS: many servers close it
 * without a word when they do not accept the certificate of this process.
 * @returns why a connection over TLS was not made, and what to do; undefined where another thing was wrong.
 */
export function tlsProblemOf(error: unknown, isNew = false): string | undefined {
  const code = codeOf(error);
  if (isRefusedCertificate(error)) return REFUSED_HERE[code]!(error as Error);
  if (NOT_TLS.has(code))
    return `it does not speak TLS there (${code}); use the port of https, or http in the address`;
  if (ALERT.test(code)) return `it wants a certificate of this process (${code}); give tls.cert and tls.key`;
  if (ALERT_REFUSED.test(code))
    return `it does not accept the certificate of this process (${code}); give ${ACCEPTED}`;
  return isNew && CLOSED.has(code)
    ? `it has closed the connection (${code}); if it asks for the certificate of this process, give ${ACCEPTED}`
    : undefined;
}

function codeOf(error: unknown): string {
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  // A failed write has the reason of OpenSSL in its text alone.
  const reason = code === 'EPROTO' ? /SSL routines:[^:]*:([^:]+):/.exec(String(message))?.[1] : undefined;
  if (reason !== undefined) return `ERR_SSL_${reason.toUpperCase().replaceAll(/[^A-Z0-9]+/g, '_')}`;
  return typeof code === 'string' ? code : '';
}

/** Node quotes the names of the certificate. Another process has chosen them, so the text is cut. */
function namesIn(error: Error): string {
  const reason: unknown = (error as { readonly reason?: unknown }).reason;
  return (typeof reason === 'string' ? reason : error.message).slice(0, 200).replace(/\.$/, '');
}
