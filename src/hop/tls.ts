import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { followed } from './followed-file.js';

type Pem = string | Buffer;

/** The certificates of a connection over https, in the form that `node:tls` takes. @publicApi */
export interface TlsSettings {
  /**
   * The certificates of the authorities whose certificates are accepted, as PEM. They replace those of Node.
   *
   * @default those of Node, and of the file that NODE_EXTRA_CA_CERTS names
   */
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined;
  /**
   * The certificate of this process with its chain, as PEM, for the other side that asks for one. Needs
   * `key`.
   */
  readonly cert?: string | Buffer | undefined;
  /** The key of `cert`, as PEM. */
  readonly key?: string | Buffer | undefined;
  /**
   * The name that the certificate of the other side must have.
   *
   * @default the host in the address
   */
  readonly servername?: string | undefined;
}

/** Certificates, or a function that returns the present ones: it is called at each request. @publicApi */
export type TlsSource = TlsSettings | (() => TlsSettings);

/** The files of {@link tlsFrom}, as PEM. @publicApi */
export interface TlsFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly servername?: string | undefined;
}

const FIELDS: readonly string[] = ['ca', 'cert', 'key', 'servername'];

/** The options for `node:https`. */
export interface SecureRequest {
  readonly ca?: Pem | Pem[];
  readonly cert?: Pem;
  readonly key?: Pem;
  readonly servername?: string;
}

/**
 * Reads certificates from files. The files are read again when one of them has changed, at most once a
 * second, so a certificate is renewed by writing its file. Files that do not fit together leave the
 * certificates as they were.
 *
 * @param files the paths of PEM files, and the name as {@link TlsSettings} has it.
 * @throws RangeError when the files cannot be read, or do not fit together.
 * @publicApi
 */
export function tlsFrom({ servername, ...paths }: TlsFiles): () => TlsSettings {
  const given = Object.entries(paths).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return followed(
    given.map(([, path]) => path),
    (texts) => {
      const settings: TlsSettings = {
        ...Object.fromEntries(given.map(([field], index) => [field, texts[index]])),
        ...(servername !== undefined && { servername }),
      };
      const problems = problemsOfTls(settings, 'tls');
      if (problems.length > 0) throw new RangeError(problems.join('; '));
      return settings;
    },
    'The files with the certificates',
  );
}

/** @returns the options of a request over https. */
export function secureRequest(source: TlsSource | undefined): SecureRequest {
  const { ca, cert, key, servername } = (typeof source === 'function' ? source() : source) ?? {};
  return {
    ...(ca !== undefined && { ca: typeof ca === 'string' || Buffer.isBuffer(ca) ? ca : [...ca] }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(servername !== undefined && { servername }),
  };
}

/**
 * @param source as it was given, perhaps from JavaScript.
 * @param option its name, for the texts.
 * @returns the problems. No key is quoted.
 */
export function problemsOfTls(source: unknown, option: string): string[] {
  if (source === undefined) return [];
  let settings: unknown;
  try {
    settings = typeof source === 'function' ? (source as () => unknown)() : source;
  } catch (error) {
    return [`${option}: the function throws (${(error as Error).message})`];
  }
  if (typeof settings !== 'object' || settings === null)
    return [`${option}: must be an object with ${FIELDS.join(', ')}, or a function that returns one`];
  const unknown = Object.keys(settings).filter((field) => !FIELDS.includes(field));
  if (unknown.length > 0)
    return unknown.map((field) => `${option}.${field}: is not an option, which are ${FIELDS.join(', ')}`);
  const { cert, key, servername } = settings as TlsSettings;
  if (servername !== undefined && (typeof servername !== 'string' || servername === ''))
    return [`${option}.servername: must be a name`];
  if ((cert === undefined) !== (key === undefined))
    return [`${option}: cert and key are needed together, or none of them`];
  return problemsOfPem(settings, option);
}

function problemsOfPem({ ca = [], cert, key }: TlsSettings, option: string): string[] {
  try {
    // It throws for what is no certificate.
    for (const authority of [ca].flat()) void new X509Certificate(authority);
  } catch {
    return [`${option}.ca: must be certificates as PEM, such as the content of ca.pem`];
  }
  try {
    if (cert !== undefined && key !== undefined) createSecureContext({ cert, key });
    return [];
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    return [
      `${option}: cert and key must be a certificate and its key as PEM${typeof code === 'string' ? ` (${code})` : ''}`,
    ];
  }
}
