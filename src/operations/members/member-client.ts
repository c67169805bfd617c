import { type IncomingMessage, request as requestByHttp } from 'node:http';
import { request as requestByHttps } from 'node:https';
import { Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { problemSchema } from '../problem/problem.js';
import { CoordinatorMembers } from '../../coordinator/index.js';
import { secureRequest, tlsProblemOf } from '../../hop/index.js';
import {
  MEMBER_CALLS_PATH,
  type MemberAnswer,
  type MemberCall,
  type MemberRequest,
  type RequestOf,
  memberAnswers,
  memberRefusalSchema,
  memberReplySchema,
} from './member-call.js';
import { MemberTokens } from './member-tokens.js';

/**
 * The most calls to other members at one time, and to one of them: an order for many and some pages that are
 * open.
 */
const MAX_CALLS = 64;
const MAX_CALLS_OF_ONE = 16;
/** The largest answer that is read, in bytes. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const TOO_LARGE = `its answer is larger than ${MAX_ANSWER_BYTES} bytes`;
const MAX_HEADER_BYTES = 8 * 1024;
const NOT_THIS_MEMBER = 'what answers at its address is not this member';
/** A call is checked before anything is done for it, and one that does not fit names no member in its refusal. */
const NOT_UNDERSTOOD =
  'it does not know such a call, as a member of an earlier version does not, and has done nothing';
/** A member that acts writes its audit trail first, which may take ten seconds. */
const ACTION_TIMEOUT_MS = 12_000;

/** The member that is asked. */
export interface AskedMember {
  readonly epoch: number;
  /** As the log has it, and never from a request. */
  readonly address: string | null;
}

/**
 * The answer of another member. It is `refused` with its reason, or there is no answer that can be used: then
 * `mayBeDone` says whether the member may have got the call.
 */
export type Asked<T> =
  | { readonly kind: 'answered'; readonly answer: T }
  | { readonly kind: 'refused'; readonly status: number; readonly code: string; readonly detail: string }
  | { readonly kind: 'failed'; readonly problem: string; readonly mayBeDone: boolean };

/** Refusals that a member means: the call has reached it, and it says why it has done nothing. */
const REFUSALS: ReadonlySet<string> = new Set([
  'DTC_ACTION_REFUSED',
  'DTC_BRANCH_NOT_FOUND',
  'DTC_INVALID_REQUEST',
  'DTC_LOG_UNAVAILABLE',
  'DTC_PARTICIPANT_NOT_FOUND',
  'DTC_TRANSACTION_NOT_FOUND',
]);

/**
 * Calls other members, each call once. It follows no redirect, reads no more than a limit, and waits no
 * longer than a limit. It sends the token of the members only to an address that the log has, of a member
 * whose lease has not expired.
 */
@Injectable()
export class MemberClient implements BeforeApplicationShutdown {
  private readonly stopped = new AbortController();
  private readonly callsTo = new Map<number, number>();
  private calls = 0;

  constructor(
    private readonly members: CoordinatorMembers,
    private readonly tokens: MemberTokens,
  ) {}

  /** The calls under way end without an answer. */
  beforeApplicationShutdown(): void {
    this.stopped.abort();
  }

  /** @returns why a member is not asked at all, for any request; undefined for a member that can be asked. */
  obstacleTo(member: AskedMember): string | undefined {
    if (urlOf(member.address) === undefined) return 'it has no address at which it can be asked';
    if (!this.isAlive(member))
      return 'its lease has expired, so its address may be that of another process by now';
    if (this.tokens.sent === undefined) return 'members have no token here to ask each other';
    return this.stopped.signal.aborted ? 'this member is shutting down' : undefined;
  }

  /** @returns the answer of the member; it never rejects. */
  async ask<K extends MemberRequest['kind']>(
    member: AskedMember,
    request: RequestOf<K>,
  ): Promise<Asked<MemberAnswer<K>>> {
    const obstacle = this.obstacleTo(member);
    if (obstacle !== undefined) return failed(obstacle);
    const url = urlOf(member.address)!;
    const sent = this.tokens.sent!;
    const own = this.callsTo.get(member.epoch) ?? 0;
    // Overviews are asked for one at a time. That a member is busy with other calls is no sign that it does
    // not answer.
    if (request.kind !== 'overview' && (own >= MAX_CALLS_OF_ONE || this.calls >= MAX_CALLS))
      return failed('too many calls to it are under way');
    this.callsTo.set(member.epoch, own + 1);
    this.calls++;
    try {
      const { name, logId } = this.members.own;
      const call: MemberCall = { coordinator: name, logId, to: member.epoch, request };
      const reply = await this.send(url, sent, call);
      return 'kind' in reply ? reply : this.answerIn<K>(reply, member, request.kind);
    } finally {
      this.calls--;
      const left = this.callsTo.get(member.epoch)! - 1;
      if (left === 0) this.callsTo.delete(member.epoch);
      else this.callsTo.set(member.epoch, left);
    }
  }

  private isAlive({ epoch }: AskedMember): boolean {
    return this.members.view().members.some((member) => member.epoch === epoch && member.state === 'alive');
  }

  /** @returns the answer in a reply, if it is one of this member to this kind of request. */
  private answerIn<K extends MemberRequest['kind']>(
    { status, body }: Reply,
    { epoch }: AskedMember,
    kind: K,
  ): Asked<MemberAnswer<K>> {
    const json = parsed(body);
    if (status !== 200) return this.refusalIn(status, json, epoch);
    const reply = memberReplySchema.safeParse(json).data;
    if (!this.isGivenBy(epoch, reply)) return failed(NOT_THIS_MEMBER, true);
    const answer = memberAnswers[kind].safeParse(reply!.answer);
    if (!answer.success) return failed('its answer cannot be read', true);
    return { kind: 'answered', answer: answer.data as MemberAnswer<K> };
  }

  /**
   * @returns the refusal in a reply. One that the member means is believed of this member alone, as its
   * answers are.
   */
  private refusalIn(status: number, json: unknown, epoch: number): Asked<never> {
    const problem = problemSchema.safeParse(json).data;
    if (problem?.status !== status)
      return failed(`its answer is not one of a member: it has the status ${status}`, true);
    const { code, detail } = problem;
    if (code === 'DTC_WRONG_MEMBER') return failed('another process has its address now');
    if (code === 'DTC_UNAUTHENTICATED') return failed('it does not accept the token of this member');
    if (!REFUSALS.has(code)) return failed(`it has refused the call (${code})`, true);
    const given = memberRefusalSchema.safeParse(json).data;
    if (given === undefined && code === 'DTC_INVALID_REQUEST') return failed(NOT_UNDERSTOOD);
    return this.isGivenBy(epoch, given)
      ? { kind: 'refused', status, code, detail }
      : failed(NOT_THIS_MEMBER, true);
  }

  private isGivenBy(
    epoch: number,
    reply: { readonly coordinator: string; readonly logId: string; readonly epoch: number } | undefined,
  ): boolean {
    const { name, logId } = this.members.own;
    return reply?.epoch === epoch && reply.coordinator === name && reply.logId === logId;
  }

  private async send(url: URL, token: string, call: MemberCall): Promise<Reply | Failed> {
    const isAction = !['find', 'list', 'overview'].includes(call.request.kind);
    const timeoutMs = isAction ? Math.max(ACTION_TIMEOUT_MS, this.tokens.timeoutMs) : this.tokens.timeoutMs;
    const limit = AbortSignal.timeout(timeoutMs);
    let isSent = false;
    try {
      const response = await this.exchange(url, token, JSON.stringify(call), limit, () => (isSent = true));
      return await replyOf(response);
    } catch (error) {
      if (limit.aborted) return failed(`it has not answered within ${timeoutMs} ms`, isSent);
      const problem = tlsProblemOf(error, url.protocol === 'https:');
      if (problem !== undefined) return failed(problem, isSent);
      const { code } = error as { code?: unknown };
      const why = typeof code === 'string' && code !== 'ABORT_ERR' ? ` (${code})` : '';
      return failed(`its answer was lost, or it cannot be reached${why}`, isSent);
    }
  }

  private exchange(
    url: URL,
    token: string,
    body: string,
    limit: AbortSignal,
    connected: () => void,
  ): Promise<IncomingMessage> {
    const isSecure = url.protocol === 'https:';
    const send = isSecure ? requestByHttps : requestByHttp;
    return new Promise((resolve, reject) => {
      const request = send(url, {
        ...(isSecure && secureRequest(this.tokens.tls)),
        method: 'POST',
        // A connection of its own for each call: one that is used again may be closed just as the call is
        // sent.
        agent: false,
        maxHeaderSize: MAX_HEADER_BYTES,
        signal: AbortSignal.any([limit, this.stopped.signal]),
        headers: {
          Authorization: `Bearer ${token}`,
          Accept: 'application/json',
          'Accept-Encoding': 'identity',
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(body),
        },
      });
      request.once('socket', (socket) => socket.once(isSecure ? 'secureConnect' : 'connect', connected));
      request.once('response', resolve);
      request.on('error', reject);
      // Without an answer, such as after 101, no error may come.
      request.once('close', () => reject(new Error('the connection was closed before an answer')));
      request.end(body);
    });
  }
}

interface Reply {
  readonly status: number;
  readonly body: string;
}

type Failed = Extract<Asked<never>, { readonly kind: 'failed' }>;

function failed(problem: string, mayBeDone = false): Failed {
  return { kind: 'failed', problem, mayBeDone };
}

async function replyOf(response: IncomingMessage): Promise<Reply | Failed> {
  const { statusCode: status = 0, headers } = response;
  const type = (headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
  const isJson = type === 'application/json' || type === 'application/problem+json';
  if (!isJson || (status >= 300 && status < 400) || headers['content-encoding'] !== undefined) {
    response.destroy();
    return failed(`its answer is not one of a member: it has the status ${status}`, true);
  }
  const chunks: Buffer[] = [];
  let size = 0;
  if (Number(headers['content-length']) > MAX_ANSWER_BYTES) {
    response.destroy();
    return failed(TOO_LARGE, true);
  }
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) {
      response.destroy();
      return failed(TOO_LARGE, true);
    }
    chunks.push(chunk);
  }
  return { status, body: Buffer.concat(chunks).toString('utf8') };
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // Garbage is told by its shape, as all that is not an answer.
    return undefined;
  }
}

/** @returns where a member takes calls; undefined for an address that is none. */
function urlOf(address: string | null): URL | undefined {
  if (address === null || !URL.canParse(address)) return undefined;
  const url = new URL(address);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') return undefined;
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/${MEMBER_CALLS_PATH}`;
  return url;
}
