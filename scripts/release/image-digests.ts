import { createHash } from 'node:crypto';

/** The name of an image with its tag, such as `postgres:17.6-bookworm`, and its digest if it has one. */
export interface ImageReference {
  /** Without a tag, if the file names none. */
  readonly name: string;
  /** `sha256:` and 64 digits. */
  readonly digest: string | undefined;
}

/** A registry, which has the digests. */
export interface Registry {
  /** Scheme and host. */
  readonly url: string;
  /** Gives tokens to read public images. */
  readonly tokenUrl: string;
}

export const DOCKER_HUB: Registry = {
  url: 'https://registry-1.docker.io',
  tokenUrl: 'https://auth.docker.io/token?service=registry.docker.io',
};

/**
 * Matches every name of an image, also one of an unknown form: if it were not found, it would count as
 * pinned.
 */
const REFERENCE =
  /^((?:FROM(?:[ \t]+--\S+)*|[ \t]*(?:-[ \t]+)?image:)[ \t]+)["']?([^\s"'@]+)(?:@(sha256:[0-9a-f]{64}))?["']?(?=\s|$)/gm;
const STAGE = /^FROM\s.*\sAS\s+(\S+)/gim;
const WITH_TAG = /^[\w./-]+:[\w.-]+$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** Those of an image for several platforms first. */
const MANIFEST_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const TIMEOUT_MS = 30_000;
/** The name of an image that the reader builds is a placeholder. */
const STANDS_FOR_OWN = 'registry.example.com/';

/**
 * @returns the images that a Dockerfile, a compose file or a manifest names, but for those that the reader
 * builds, and for the stages of the same file.
 */
export function imagesIn(text: string): ImageReference[] {
  const stages = new Set(Array.from(text.matchAll(STAGE), ([, stage]) => stage));
  return Array.from(text.matchAll(REFERENCE), ([, , name, digest]) => ({ name: name!, digest })).filter(
    ({ name }) => !name.startsWith(STANDS_FOR_OWN) && !stages.has(name),
  );
}

/** @returns the text with the digest of each image that has one in the map, in place of an earlier one. */
export function pinned(text: string, digests: ReadonlyMap<string, string>): string {
  return text.replaceAll(REFERENCE, (whole, before: string, name: string) => {
    const digest = digests.get(name);
    return digest === undefined ? whole : `${before}${name}@${digest}`;
  });
}

/**
 * Asks the registry for the digest of an image, and computes it from the manifest as well.
 *
 * @throws Error when the name has no tag, when the registry does not answer, or when its digest is not that
 * of its manifest. No digest is ever guessed.
 */
export async function digestOf(name: string, { url, tokenUrl }: Registry = DOCKER_HUB): Promise<string> {
  if (!WITH_TAG.test(name)) throw new Error(`${name}: name the image as in the registry, and with a tag.`);
  const [path = '', tag = ''] = name.split(':');
  const repository = path.includes('/') ? path : `library/${path}`;
  const { token } = (await (
    await asked(`${tokenUrl}${tokenUrl.includes('?') ? '&' : '?'}scope=repository:${repository}:pull`)
  ).json()) as { readonly token: string };
  const response = await asked(`${url}/v2/${repository}/manifests/${tag}`, {
    Authorization: `Bearer ${token}`,
    Accept: MANIFEST_TYPES.join(', '),
  });
  const told = response.headers.get('docker-content-digest');
  const manifest = Buffer.from(await response.arrayBuffer());
  const computed = `sha256:${createHash('sha256').update(manifest).digest('hex')}`;
  if (!MANIFEST_TYPES.includes(response.headers.get('content-type') ?? '')) {
    throw new Error(
      `${name}: the registry has no list of platforms for it, so its digest would be that of one platform.`,
    );
  }
  if (told === null || !DIGEST.test(told) || told !== computed) {
    throw new Error(`${name}: the registry says ${told}, and its manifest has the digest ${computed}.`);
  }
  return computed;
}

async function asked(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (cause) {
    throw new Error(`${new URL(url).host} does not answer: check the network, and run it again.`, { cause });
  }
  if (!response.ok) throw new Error(`${new URL(url).host} has answered ${response.status} for ${url}.`);
  return response;
}
