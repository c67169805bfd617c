import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Registry, digestOf, imagesIn, pinned } from '../../scripts/release/image-digests.js';
import { pinIn, unpinnedIn } from '../../scripts/release/pinned-files.js';

const MANIFEST = '{"manifests":[]}';
const DIGEST = `sha256:${createHash('sha256').update(MANIFEST).digest('hex')}`;
const OTHER = `sha256:${'0'.repeat(64)}`;
const INDEX = 'application/vnd.oci.image.index.v1+json';

describe('the images of others', () => {
  it('are found in a Dockerfile, a compose file and a manifest, with their digests', () => {
    const text = `FROM node:24.1-slim AS build\nFROM node:24.1-slim@${OTHER}\n  image: grafana/grafana:12.1.1\n  image: registry.example.com/shop:1.0.0\n`;

    expect(imagesIn(text)).toEqual([
      { name: 'node:24.1-slim', digest: undefined },
      { name: 'node:24.1-slim', digest: OTHER },
      { name: 'grafana/grafana:12.1.1', digest: undefined },
    ]);
  });

  it('are found in every form: of a platform, in quotes, in a list, and without a tag', () => {
    const text = `FROM --platform=linux/amd64 node:24 AS build\nFROM build AS rest\nFROM debian\n  - image: "a/b:1"\n    image: '\${REGISTRY}/c:1'\n`;

    expect(imagesIn(text).map(({ name }) => name)).toEqual(['node:24', 'debian', 'a/b:1', '${REGISTRY}/c:1']);
  });

  it.each([
    ['Dockerfile', 3],
    ['samples/services/Dockerfile', 2],
    ['compose.yaml', 3],
    ['compose.members.yaml', 1],
    ['compose.services.yaml', 1],
    ['deploy/kubernetes/deployment.yaml', 0],
  ])('of %s are all found', (file, count) => {
    expect(imagesIn(readFileSync(join(import.meta.dirname, '../..', file), 'utf8'))).toHaveLength(count);
  });

  it('get their digests, also in place of earlier ones, and nothing else changes', () => {
    const text = `# postgres:17\nFROM node:24 AS build\n    image: postgres:17@${OTHER}\n    image: other:1\n`;
    const digests = new Map([
      ['node:24', DIGEST],
      ['postgres:17', DIGEST],
    ]);

    expect(pinned(text, digests)).toBe(
      `# postgres:17\nFROM node:24@${DIGEST} AS build\n    image: postgres:17@${DIGEST}\n    image: other:1\n`,
    );
  });
});

describe('the digest of an image', () => {
  let server: Server;

  afterEach(() => void server.close());

  async function registry(
    answer: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<Registry & { asked: string[] }> {
    const asked: string[] = [];
    server = createServer((request, response) => {
      asked.push(`${request.url} ${request.headers.authorization ?? ''}`.trim());
      if (request.url!.startsWith('/token')) response.end('{"token":"t"}');
      else answer(request, response);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return { url, tokenUrl: `${url}/token?service=s`, asked };
  }

  const answering = (headers: Record<string, string>, status = 200) =>
    registry((_, response) => response.writeHead(status, headers).end(MANIFEST));

  it('is asked of the registry, and is that of the manifest', async () => {
    const hub = await answering({ 'Content-Type': INDEX, 'Docker-Content-Digest': DIGEST });

    expect(await digestOf('node:24', hub)).toBe(DIGEST);
    expect(await digestOf('prom/prometheus:v3', hub)).toBe(DIGEST);
    expect(hub.asked).toEqual([
      '/token?service=s&scope=repository:library/node:pull',
      '/v2/library/node/manifests/24 Bearer t',
      '/token?service=s&scope=repository:prom/prometheus:pull',
      '/v2/prom/prometheus/manifests/v3 Bearer t',
    ]);
  });

  it.each([
    [
      'says another one',
      { 'Content-Type': INDEX, 'Docker-Content-Digest': OTHER },
      200,
      /and its manifest has/,
    ],
    ['says none', { 'Content-Type': INDEX }, 200, /the registry says null/],
    [
      'has the image of one platform alone',
      { 'Content-Type': 'application/vnd.oci.image.manifest.v1+json', 'Docker-Content-Digest': DIGEST },
      200,
      /no list of platforms/,
    ],
    ['does not have it', {}, 404, /has answered 404/],
  ])('is never guessed when the registry %s', async (_, headers, status, problem) => {
    const hub = await answering(headers, status);

    await expect(digestOf('node:24', hub)).rejects.toThrow(problem);
  });

  it.each(['debian', '${REGISTRY}/c:1'])('is not asked for %s, which names no version', async (name) => {
    const hub = await answering({});

    await expect(digestOf(name, hub)).rejects.toThrow(/with a tag/);
    expect(hub.asked).toEqual([]);
  });

  describe('in all files of a repository', () => {
    const FROM = 'FROM node:24 AS build\nFROM build\n';
    const COMPOSE = `services:\n  db:\n    image: postgres:17\n  shown:\n    image: grafana/grafana:12@${OTHER}\n`;
    let root: string;

    beforeEach(() => {
      root = mkdtempSync(join(tmpdir(), 'images-'));
      mkdirSync(join(root, 'samples/services'), { recursive: true });
      for (const file of ['Dockerfile', 'samples/services/Dockerfile']) writeFileSync(join(root, file), FROM);
      writeFileSync(join(root, 'compose.members.yaml'), COMPOSE);
    });
    afterEach(() => rmSync(root, { recursive: true }));

    const texts = (): string[] =>
      ['Dockerfile', 'samples/services/Dockerfile', 'compose.members.yaml'].map((file) =>
        readFileSync(join(root, file), 'utf8'),
      );

    it('is asked for once, and written everywhere', async () => {
      const hub = await answering({ 'Content-Type': INDEX, 'Docker-Content-Digest': DIGEST });
      expect(unpinnedIn(root)).toEqual([
        'Dockerfile: node:24 has no digest.',
        'compose.members.yaml: postgres:17 has no digest.',
        'samples/services/Dockerfile: node:24 has no digest.',
      ]);

      expect([...(await pinIn(root, hub)).keys()]).toEqual(['node:24', 'postgres:17', 'grafana/grafana:12']);

      expect(hub.asked.filter((path) => path.includes('/manifests/'))).toHaveLength(3);
      expect(texts().map((text) => text.split(DIGEST).length - 1)).toEqual([1, 1, 2]);
      expect(unpinnedIn(root)).toEqual([]);
    });

    it('is written nowhere when the registry does not have one of the images', async () => {
      const hub = await registry((request, response) =>
        response
          .writeHead(request.url!.includes('grafana') ? 404 : 200, {
            'Content-Type': INDEX,
            'Docker-Content-Digest': DIGEST,
          })
          .end(MANIFEST),
      );

      await expect(pinIn(root, hub)).rejects.toThrow(/has answered 404 for .*grafana/);
      expect(texts()).toEqual([FROM, FROM, COMPOSE]);
    });
  });

  it('is not guessed when no registry answers', async () => {
    const hub = await answering({});
    server.close();
    await once(server, 'close');

    await expect(digestOf('node:24', hub)).rejects.toThrow(/does not answer: check the network/);
  });
});
