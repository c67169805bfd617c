import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { DashboardFiles } from '../../../src/operations/dashboard-files.js';
import { type ActionRequest, applyAction } from './actions.js';
import type { Caller, PageLink } from '../../../dashboard/src/api/views.js';
import { FakeProblem, TOKENS } from './callers.js';
import { databasesOf } from './databases.js';
import { outboxPart, outboxesOf } from './outboxes.js';
import { auditPage, historyPage, overviewOf, transactionPage, viewOf } from './pages.js';
import { type Scenario, badNight } from './scenario.js';

/** One request for an action, as it arrived. */
export interface ReceivedAction {
  readonly by: string;
  readonly path: string;
  readonly body: unknown;
}

export interface FakeOptions {
  /** The output of the build of the dashboard. */
  readonly folder: string;
  /** Transactions in which nothing is wrong. */
  readonly others?: number;
  /** Whether one may look without a token. */
  readonly readers?: 'anyone';
  readonly port?: number;
}

const LINKS = [
  { label: 'Log lines', url: 'https://logs.example/?q={transactionId}' },
  { label: 'Trace', url: 'https://traces.example/{traceId}' },
];

const TICK_MS = 1_000;

/**
 * Speaks the operators' interface with scripted data, and serves the dashboard by the code that serves it in
 * production. Nothing in it coordinates anything.
 */
export class FakeCoordinator {
  /** Every request for an action that was allowed to its caller. */
  readonly actions: ReceivedAction[] = [];
  /** Every address that was asked for. */
  readonly requested: string[] = [];
  /** When set, each action is refused with it. */
  refusal: FakeProblem | undefined;
  /** Pages of the application. */
  pages: readonly PageLink[] = [];
  readonly scenario: Scenario;
  private readonly streams = new Set<ServerResponse>();
  private readonly server = createServer((request, response) => void this.serve(request, response));
  private readonly files: DashboardFiles;
  private readonly options: FakeOptions;
  private tickCount = 0;
  private timer: ReturnType<typeof setInterval> | undefined;

  private constructor(options: FakeOptions) {
    this.options = options;
    this.files = DashboardFiles.read(options.folder);
    this.scenario = badNight(Date.now(), options.others ?? 60);
  }

  static async start(options: FakeOptions): Promise<FakeCoordinator> {
    const fake = new FakeCoordinator(options);
    await fake.listen(options.port ?? 0);
    return fake;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** How often it has told how things stand. */
  get ticks(): number {
    return this.tickCount;
  }

  /** How many streams of events are open. */
  get streamCount(): number {
    return this.streams.size;
  }

  /** Tells all streams how things stand, as it does by itself once a second. */
  tick(): void {
    this.tickCount += 1;
    const { statistics } = this.scenario.coordinator;
    statistics.committed += 168 + ((this.tickCount * 37) % 41);
    statistics.aborted += this.tickCount % 5 === 0 ? 2 : 1;
    for (const stream of this.streams) this.tell(stream);
  }

  /** Lets a second pass at once. */
  passSecond(): void {
    this.scenario.aheadMs += TICK_MS;
    this.tick();
  }

  /** Ends all streams as the coordinator does after a few minutes. */
  endStreams(): void {
    for (const stream of this.streams) stream.end();
  }

  /** Is gone, as a process that was killed. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    if (!this.server.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  /** Comes back where it was. */
  async listen(port: number): Promise<void> {
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url!, this.origin);
    this.requested.push(request.url!);
    try {
      if (/^\/dashboard(?:\/|$)/.test(pathname)) {
        this.answerFile(pathname, response);
        return;
      }
      const caller = this.callerOf(request);
      if (request.method === 'POST') {
        const body = (await json(request)) as ActionRequest;
        answer(response, 200, this.act(caller, pathname, body));
      } else if (pathname === '/events') this.openStream(response);
      else if (pathname === '/transactions/export') this.sendFile(searchParams, response);
      else answer(response, 200, this.read(caller, pathname, searchParams));
    } catch (error) {
      if (!(error instanceof FakeProblem)) throw error;
      const { status, code, message: detail } = error;
      answer(response, status, { type: 'about:blank', title: 'Refused', status, code, detail });
    }
  }

  private answerFile(pathname: string, response: ServerResponse): void {
    const file = this.files.find(pathname.slice('/dashboard/'.length) || 'index.html');
    if (file === undefined) throw new FakeProblem(404, 'DTC_NOT_FOUND', 'The dashboard has no such file.');
    response.writeHead(200, { ...file.headers, 'Content-Type': file.contentType }).end(file.body);
  }

  private callerOf({ headers }: IncomingMessage): Caller {
    const { authorization } = headers;
    const caller = TOKENS[authorization?.replace(/^Bearer /, '') ?? ''];
    if (caller !== undefined) return caller;
    if (authorization === undefined && this.options.readers === 'anyone')
      return { name: null, role: 'anyone' };
    throw new FakeProblem(401, 'DTC_UNAUTHENTICATED', 'A token is needed here.');
  }

  private read(caller: Caller, pathname: string, query: URLSearchParams): unknown {
    const [, collection, id] = pathname.split('/');
    if (pathname === '/access') return caller;
    if (pathname === '/coordinator') return this.scenario.coordinator;
    if (pathname === '/participants') return { participants: this.scenario.participants };
    if (pathname === '/links') return { links: LINKS, pages: this.pages };
    if (pathname === '/databases') return databasesOf(this.scenario);
    if (pathname === '/outboxes') return outboxesOf(this.scenario);
    if (collection === 'outboxes')
      return outboxPart(this.scenario, pathname.split('/').slice(1).map(decodeURIComponent));
    if (pathname === '/history') return historyPage(this.scenario);
    if (pathname === '/audit') return auditPage(this.scenario, query);
    if (pathname === '/transactions') return transactionPage(this.scenario, query);
    if (collection === 'transactions' && id !== undefined)
      return viewOf(this.scenario, decodeURIComponent(id));
    throw new FakeProblem(404, 'DTC_NOT_FOUND', `Cannot GET ${pathname}`);
  }

  private act({ name, role }: Caller, path: string, body: ActionRequest): unknown {
    if (role !== 'operator') throw new FakeProblem(403, 'DTC_FORBIDDEN', 'Only operators may act.');
    this.actions.push({ by: name!, path, body });
    if (this.refusal !== undefined) throw this.refusal;
    const done = applyAction(this.scenario, name!, path, body);
    this.tick();
    return done;
  }

  private sendFile(query: URLSearchParams, response: ServerResponse): void {
    const { transactions } = transactionPage(this.scenario, query);
    const isCsv = query.get('format') === 'csv';
    response.writeHead(200, {
      'Content-Type': isCsv ? 'text/csv' : 'application/json',
      'Content-Disposition': `attachment; filename="transactions-1.${isCsv ? 'csv' : 'json'}"`,
    });
    const ids = transactions.map(({ transactionId }) => transactionId);
    response.end(isCsv ? ids.join('\r\n') : JSON.stringify({ transactions: ids }));
  }

  private openStream(response: ServerResponse): void {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    this.streams.add(response);
    response.on('close', () => this.streams.delete(response));
    this.tell(response);
  }

  private tell(stream: ServerResponse): void {
    stream.write(`event: overview\ndata: ${JSON.stringify(overviewOf(this.scenario))}\n\n`);
  }
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  response.writeHead(status, { 'Content-Type': type }).end(JSON.stringify(body));
}
