import type { IncomingMessage as Request, ServerResponse } from 'node:http';
import { Controller, Get, Inject, Param, Post, Query, Req, Res, VERSION_NEUTRAL } from '@nestjs/common';
import { WireError, decodeMessage, encodeAnswer } from '../remote/wire/index.js';
import { ParticipantHost } from './participant-host.js';

/** A request or response of the platform. That of Fastify stands around the one of Node. */
type Native<T> = T | { readonly raw: T; hijack?(): unknown };
type Parsed = Native<Request> & { readonly body?: unknown; readonly headers: Request['headers'] };

const MAX_KEY_LENGTH = 129;
const ANSWERS = {
  'Content-Type': 'application/x-ndjson',
  'Cache-Control': 'no-store, no-transform',
  'X-Accel-Buffering': 'no',
} as const;

/**
 * The routes of a host. They answer on the response of Node, so that no global interceptor of the application
 * wraps what a coordinator reads.
 */
@Controller({ version: VERSION_NEUTRAL })
export class HostController {
  constructor(@Inject(ParticipantHost) private readonly host: ParticipantHost) {}

  @Post('calls')
  async calls(@Req() request: Parsed, @Res() response: Native<ServerResponse>): Promise<void> {
    const raw = this.admit(request, response);
    if (raw === undefined) return;
    let message;
    try {
      message = decodeMessage(request.body);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      problem(raw, 400, error.code, error.message);
      return;
    }
    // The answers of one turn leave together.
    let lines = '';
    const flush = (): void => {
      if (lines !== '' && !raw.destroyed) {
        if (!raw.headersSent) raw.writeHead(200, ANSWERS);
        raw.write(lines);
      }
      lines = '';
    };
    let missing = message.calls.length;
    await this.host.serve(message, (answer) => {
      missing--;
      // The last ones leave with the end of the response.
      if (lines === '' && missing > 0) setImmediate(flush);
      lines += encodeAnswer(answer);
    });
    // When all answers are there at once, their length is known.
    if (!raw.headersSent) {
      raw.writeHead(200, { ...ANSWERS, 'Content-Length': Buffer.byteLength(lines) });
    }
    raw.end(lines);
    lines = '';
  }

  /** The branches of a participant that are in doubt. */
  @Get('branches/:participant')
  async branches(
    @Req() request: Parsed,
    @Res() response: Native<ServerResponse>,
    @Param('participant') participant: string,
    @Query('after') after: unknown,
  ): Promise<void> {
    const raw = this.admit(request, response);
    if (raw === undefined) return;
    if (after !== undefined && (typeof after !== 'string' || after.length > MAX_KEY_LENGTH)) {
      problem(
        raw,
        400,
        'DTC_INVALID_REQUEST',
        'after must be the key of a branch: <transactionId>/<branchId>.',
      );
      return;
    }
    const branches = await this.host.inDoubt(participant, after);
    if (branches === undefined) {
      problem(raw, 404, 'DTC_UNKNOWN_PARTICIPANT', 'No participant of this name is served here.');
      return;
    }
    json(raw, 200, { branches });
  }

  /** For probes, which have no token: it shows only whether the host serves. */
  @Get('health')
  health(@Res() response: Native<ServerResponse>): void {
    const { status } = this.host.view();
    json(nativeOf(response), status === 'serving' ? 200 : 503, { status });
  }

  @Get('metrics')
  metrics(@Req() request: Parsed, @Res() response: Native<ServerResponse>): void {
    const raw = this.admit(request, response);
    if (raw !== undefined) json(raw, 200, this.host.view());
  }

  /** @returns the response of Node; undefined when the request was refused. */
  private admit(request: Parsed, response: Native<ServerResponse>): ServerResponse | undefined {
    const refusal = this.host.refusalOf(request.headers.authorization);
    const raw = nativeOf(response);
    if (refusal === undefined) return raw;
    const { status, code, detail } = refusal;
    if (status === 401) raw.setHeader('WWW-Authenticate', 'Bearer');
    problem(raw, status, code, detail);
    return undefined;
  }
}

function nativeOf(response: Native<ServerResponse>): ServerResponse {
  if ('hijack' in response) response.hijack?.();
  return 'raw' in response ? response.raw : response;
}

function json(raw: ServerResponse, status: number, body: object, type = 'application/json'): void {
  raw.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' });
  raw.end(JSON.stringify(body));
}

function problem(raw: ServerResponse, status: number, code: string, detail: string): void {
  json(raw, status, { type: 'about:blank', status, code, detail }, 'application/problem+json');
}
