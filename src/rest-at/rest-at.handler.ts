import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  ForbiddenException,
  Inject,
  Injectable,
  MethodNotAllowedException,
  type NestMiddleware,
  NotFoundException,
  PayloadTooLargeException,
  UnsupportedMediaTypeException,
} from '@nestjs/common';
import { SafeLogger } from '../coordinator/gate/safe-logger.js';
import { InvalidRequestError } from '../coordinator/index.js';
import { UnauthenticatedError } from '../operations/access/access-errors.js';
import { PROBLEM_CONTENT_TYPE, problemOf } from '../operations/problem/problem.js';
import type { Reply } from './reply.js';
import { REST_AT_PREFIX, RestAt } from './rest-at.js';
import { STATUS_TYPE } from './status.js';

/** A body says a time-out or a status. */
const MAX_BODY_BYTES = 4_096;
const FORM_TYPES: readonly string[] = ['application/x-www-form-urlencoded', 'text/plain'];
const HOST = /^([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?$/i;
/** The rest of a path below the prefix. */
const REST = /^\/(?<root>transaction-manager|recovery-coordinator)(?<rest>(?:\/[^/]+){0,2})\/?$/;
/** The characters that a global prefix may have, so that links can be made of it. */
const GLOBAL_PREFIX = /^[\w.~/-]*$/;

/** A request of Node. A platform adds the URL before any mount, and what its parsers have read. */
type Request = IncomingMessage & { readonly originalUrl?: string; readonly body?: unknown };

/** The subject of a request. */
interface Asked {
  readonly method: string;
  readonly root: string;
  /** The rest of the path. */
  readonly segments: readonly string[];
  /** The URL before all resources. */
  readonly base: string;
  readonly request: Request;
}

/**
 * Answers every request below the prefix, on any HTTP platform. It reads bodies itself: parsers of these
 * types for the whole application would let pages of other sites send forms to the other routes.
 */
@Injectable()
export class RestAtHandler implements NestMiddleware<Request, ServerResponse> {
  private readonly logger = new SafeLogger('RestAtModule');

  constructor(
    @Inject(RestAt) private readonly restAt: RestAt,
    @Inject(REST_AT_PREFIX) private readonly prefix: string,
  ) {}

  async use(request: Request, response: ServerResponse): Promise<void> {
    try {
      send(response, await this.answer(request));
    } catch (error) {
      this.refuse(response, error);
    }
  }

  private answer(request: Request): Promise<Reply> | Reply {
    const { authorization, host, origin } = request.headers;
    this.restAt.access.admit(authorization, origin);
    const [path = ''] = (request.originalUrl ?? request.url ?? '').split('?', 1);
    const mount = `/${this.prefix}`;
    const end = path.indexOf(`${mount}/`) + mount.length;
    const { root, rest = '' } = REST.exec(path.slice(end))?.groups ?? {};
    if (root === undefined || !GLOBAL_PREFIX.test(path.slice(0, end))) {
      throw new NotFoundException('No resource has this URL.');
    }
    const base = this.restAt.options.url ?? `${originOf(request, host)}${path.slice(0, end)}`;
    const segments = rest.split('/').filter((segment) => segment !== '');
    const asked = { method: request.method ?? '', root, segments, base, request };
    return root === 'recovery-coordinator' ? this.ofEnlistment(asked) : this.ofTransaction(asked);
  }

  private ofTransaction(asked: Asked): Promise<Reply> | Reply {
    const { segments, method, request } = asked;
    const { transactions } = this.restAt;
    const [id, resource] = segments;
    if (id === undefined) return this.ofManager(asked);
    if (id === 'statistics' && resource === undefined)
      return isRead(method) ? transactions.statistics() : notAllowed();
    switch (resource) {
      case undefined:
        return this.ofOne(asked, id);
      case 'terminator':
        // The draft has 400 for every other method.
        if (method !== 'PUT')
          throw new InvalidRequestError('The method', `of a terminator is PUT, not ${method}`);
        return this.terminate(asked, id);
      case 'volatile-participant':
        return method === 'PUT' ? transactions.enlistVolatile(id, linkOf(request)) : notAllowed();
      default:
        throw new NotFoundException('No resource has this URL.');
    }
  }

  private async ofManager({ method, base, request }: Asked): Promise<Reply> {
    const { transactions } = this.restAt;
    if (isRead(method)) return transactions.list(request.headers.accept, base);
    if (method !== 'POST') return notAllowed();
    return transactions.begin(await timeoutIn(request), base);
  }

  private ofOne({ method, base, request }: Asked, id: string): Promise<Reply> {
    const { transactions } = this.restAt;
    switch (method) {
      case 'HEAD':
        return transactions.head(id, base);
      case 'GET':
        return transactions.show(id, request.headers.accept, base);
      case 'POST':
        return transactions.enlist(id, linkOf(request), base);
      case 'DELETE':
        throw new ForbiddenException('A transaction is ended at its terminator.');
      default:
        return notAllowed();
    }
  }

  private async terminate({ request, base }: Asked, id: string): Promise<Reply> {
    if (typeOf(request) !== STATUS_TYPE)
      throw new InvalidRequestError('Content-Type', `must be ${STATUS_TYPE}`);
    return this.restAt.transactions.terminate(id, await bodyIn(request), base);
  }

  private ofEnlistment({ method, segments, request }: Asked): Promise<Reply> {
    const { recovery } = this.restAt;
    const [id, enlistment] = segments;
    if (id === undefined || enlistment === undefined)
      throw new NotFoundException('No resource has this URL.');
    switch (method) {
      case 'GET':
      case 'HEAD':
        return recovery.show(id, enlistment);
      case 'PUT':
        return recovery.move(id, enlistment, linkOf(request));
      case 'DELETE':
        return recovery.leave(id, enlistment);
      default:
        return notAllowed();
    }
  }

  private refuse(response: ServerResponse, error: unknown): void {
    const { retryAfterSeconds, ...problem } = problemOf(error);
    if (problem.code === 'DTC_INTERNAL')
      this.logger.error(error instanceof Error ? error.stack : String(error));
    send(response, {
      code: problem.status,
      type: PROBLEM_CONTENT_TYPE,
      body: JSON.stringify(problem),
      headers: {
        ...(retryAfterSeconds !== undefined && { 'Retry-After': String(retryAfterSeconds) }),
        ...(error instanceof UnauthenticatedError && { 'WWW-Authenticate': 'Bearer' }),
        // The rest of the body must not be taken for the next request.
        ...(error instanceof PayloadTooLargeException && { Connection: 'close' }),
      },
    });
  }
}

function send(response: ServerResponse, { code, type, body = '', headers = {} }: Reply): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(code, {
    ...headers,
    ...(type !== undefined && { 'Content-Type': type }),
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
  });
  response.end(body);
}

/** @throws InvalidRequestError when no link can be made of the header Host. */
function originOf({ socket }: Request, host: string | undefined): string {
  if (host === undefined || !HOST.test(host))
    throw new InvalidRequestError('Host', 'must be a host, with or without a port');
  return `${'encrypted' in socket ? 'https' : 'http'}://${host}`;
}

function isRead(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

function notAllowed(): never {
  throw new MethodNotAllowedException('This resource does not have this method.');
}

/** Several headers of this name are joined by commas. */
function linkOf({ headers: { link } }: Request): string | undefined {
  return Array.isArray(link) ? link.join(', ') : link;
}

function typeOf({ headers }: Request): string | undefined {
  return headers['content-type']?.split(';', 1)[0]!.trim().toLowerCase();
}

/** @throws (as a rejection) UnsupportedMediaTypeException, PayloadTooLargeException. */
async function timeoutIn(request: Request): Promise<string | undefined> {
  const type = typeOf(request);
  // Express has read forms by now.
  const { body } = request;
  if (type === FORM_TYPES[0] && typeof body === 'object' && body !== null && 'timeout' in body) {
    return typeof body.timeout === 'string' ? body.timeout : 'several';
  }
  const text = (await bodyIn(request)).trim();
  if (text !== '' && !FORM_TYPES.includes(type ?? ''))
    throw new UnsupportedMediaTypeException(`A time-out is sent as ${FORM_TYPES.join(' or ')}.`);
  const timeouts = new URLSearchParams(text).getAll('timeout');
  return timeouts.length > 1 ? 'several' : timeouts[0];
}

/** @throws (as a rejection) PayloadTooLargeException. */
async function bodyIn(request: Request): Promise<string> {
  const { body } = request;
  // A parser of the application has read it.
  if (typeof body === 'string' || Buffer.isBuffer(body)) return body.toString();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES)
      throw new PayloadTooLargeException(`A body has at most ${MAX_BODY_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
