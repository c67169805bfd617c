import { Subscription } from 'rxjs';
import { endAll } from '../coordinator/end-all.js';
import { messageOf, oneLine } from '../coordinator/gate/texts.js';
import type { CallKind, ParticipantTransport } from '../remote/transport.js';
import { bearerOf } from '../remote/wire/index.js';
import { AnswerReader } from './answer-reader.js';
import { type Line, lineTo } from './lines.js';
import { type MicroserviceTransportOptions, addressIn, resolveTransportOptions } from './options.js';

/** A host answers "try again" when the time of a call is over. After this time that answer should be here. */
const SILENCE_MS = 1_000;
/** A client that does not close by then is left to its broker. */
const CLOSE_MS = 2_000;
const CLOSED = 'the transport is closed';

/**
 * Reaches a participant host over a transport of Nest: TCP, NATS, Redis, RabbitMQ or gRPC. The host imports
 * {@link ParticipantHostMicroserviceModule}.
 *
 * Work, completions and administration have a connection each. A message is sent at most once. Its token goes
 * with it.
 *
 * @publicApi
 */
export class MicroserviceTransport implements ParticipantTransport {
  readonly address: string;
  private readonly lines: Readonly<Record<CallKind, LineOfKind>>;

  /** @throws InvalidOptionsError when an option is impossible. No token is quoted. */
  constructor(options: MicroserviceTransportOptions) {
    const { client, credentials, pattern } = resolveTransportOptions(options);
    this.address = addressIn(client, pattern);
    const line = (): LineOfKind => new LineOfKind(lineTo(client, pattern), () => bearerOf(credentials));
    this.lines = { work: line(), completion: line(), administration: line() };
  }

  /** @param kind as {@link ParticipantTransport.send} has it. @default 'work' */
  send(
    message: string,
    receive: (answer: unknown) => void,
    timeLeftMs: number,
    kind: CallKind = 'work',
  ): Promise<void> {
    return this.lines[kind].send(message, receive, timeLeftMs);
  }

  async close(): Promise<void> {
    await endAll(Object.values(this.lines).map((line) => () => line.close()));
  }
}

/** The messages of one kind, on a connection of their own. */
export class LineOfKind {
  /** Ends the messages in flight. */
  private readonly inFlight = new Set<(error: Error) => void>();
  private readonly losses: Subscription;
  private silence: NodeJS.Timeout | undefined;
  private heardAt = -Infinity;
  private isClosed = false;

  constructor(
    private readonly line: Line,
    private readonly bearer: () => string,
  ) {
    this.losses = line.lost.subscribe(() => this.fail(new Error('the connection was lost')));
  }

  send(message: string, receive: (answer: unknown) => void, timeLeftMs: number): Promise<void> {
    if (this.isClosed) return Promise.reject(new Error(CLOSED));
    const sentAt = performance.now();
    const reader = new AnswerReader(receive);
    return new Promise((resolve, reject) => {
      const authorization = this.bearer();
      const answers = new Subscription();
      const settle = (done: () => void): void => {
        clearTimeout(timer);
        this.inFlight.delete(fail);
        // Nothing more is received.
        answers.unsubscribe();
        done();
      };
      const fail = (error: Error): void => settle(() => reject(error));
      const timer = setTimeout(() => {
        this.watch(sentAt);
        fail(new Error(`no answer within ${timeLeftMs} ms`));
      }, timeLeftMs);
      this.inFlight.add(fail);
      const next = (value: unknown): void => {
        this.heardAt = performance.now();
        try {
          reader.take(value);
        } catch (error) {
          fail(error as Error);
        }
      };
      const error = (thrown: unknown): void => fail(errorOf(thrown));
      const complete = (): void => settle(resolve);
      try {
        answers.add(
          this.line.open({ authorization, message }, timeLeftMs).subscribe({ next, error, complete }),
        );
      } catch (thrown) {
        // Its timer would hold the message until its time is over.
        error(thrown);
      }
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.silence);
    this.losses.unsubscribe();
    this.fail(new Error(CLOSED));
    const closed = this.line.close();
    let timer: NodeJS.Timeout | undefined;
    const given = new Promise<void>((resolve) => (timer = setTimeout(resolve, CLOSE_MS)));
    await Promise.race([closed, given]).finally(() => clearTimeout(timer));
  }

  private fail(error: Error): void {
    for (const fail of this.inFlight) fail(error);
  }

  /** A connection that stays silent although answers are due is dead, and there is no other sign of that. */
  private watch(sentAt: number): void {
    const { reset } = this.line;
    if (reset === undefined || this.isClosed || this.silence !== undefined || this.heardAt >= sentAt) return;
    this.silence = setTimeout(() => {
      this.silence = undefined;
      if (this.heardAt < sentAt) reset();
    }, SILENCE_MS);
    this.silence.unref();
  }
}

/** Clients of Nest fail with errors, with texts, and with what the other side has sent. */
function errorOf(thrown: unknown): Error {
  if (thrown instanceof Error) return new Error(oneLine(messageOf(thrown)), { cause: thrown });
  const { message } = (thrown ?? {}) as { readonly message?: unknown };
  return new Error(oneLine(messageOf(typeof message === 'string' ? message : thrown)));
}
