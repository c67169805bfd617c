import { Controller, Inject, type Type } from '@nestjs/common';
import { Ctx, GrpcMethod, MessagePattern, Payload, TcpContext } from '@nestjs/microservices';
import { EMPTY, Observable, type Subscriber, of } from 'rxjs';
import { ParticipantHost } from '../host/participant-host.js';
import {
  type IncomingMessage,
  MAX_ANSWER_BYTES,
  type WireAnswer,
  WireError,
  decodeMessage,
} from '../remote/wire/index.js';
import { Arrival, HOST_HANDLER } from './arrival.js';
import { type CallsResponse, readRequest } from './frames.js';
import { GRPC_METHOD, GRPC_SERVICE } from './grpc-host.js';

export const HOST_MESSAGE_OPTIONS = Symbol('HOST_MESSAGE_OPTIONS');

/** The options of the messages of a host that its decorators do not need. */
export interface HostMessageOptions {
  readonly maxMessageBytes: number;
}

/** Answers the messages of coordinators, whichever microservice of the application has received them. */
@Controller()
class HostMessages {
  constructor(
    @Inject(ParticipantHost) private readonly host: ParticipantHost,
    @Inject(HOST_MESSAGE_OPTIONS) private readonly options: HostMessageOptions,
  ) {}

  /** @returns the answers, each as soon as it is known; or the refusal of the whole message. */
  protected serve(data: unknown): Observable<CallsResponse> {
    if (data instanceof Arrival) {
      data.meet(this.host);
      return EMPTY;
    }
    const request = readRequest(data);
    const refusal = this.host.refusalOf(request?.authorization);
    if (refusal !== undefined) return refused(refusal.code, refusal.detail);
    let message: IncomingMessage;
    try {
      message = this.read(request!.message);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return refused(error.code, error.message);
    }
    return new Observable((subscriber) => {
      const frames = new Frames(subscriber);
      void this.host
        .serve(message, (answer) => frames.add(answer))
        .then(
          () => frames.end(),
          (error: unknown) => subscriber.error(error),
        );
    });
  }

  private read(text: string): IncomingMessage {
    const { maxMessageBytes } = this.options;
    const bytes = Buffer.byteLength(text);
    if (bytes > maxMessageBytes) {
      throw new WireError(
        'DTC_WIRE_INVALID',
        `The message has ${bytes} bytes and the host takes ${maxMessageBytes}, so nothing was done. Raise the option ` +
          'maxMessageBytes of the host, or send smaller payloads.',
      );
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new WireError('DTC_WIRE_INVALID', 'The message is no JSON, so nothing was done.');
    }
    return decodeMessage(value);
  }
}

/** Sends the answers of one turn together, as far as they fit into one frame. */
class Frames {
  private answers: string[] = [];
  private bytes = 0;

  constructor(private readonly subscriber: Subscriber<CallsResponse>) {}

  add(answer: WireAnswer): void {
    const text = JSON.stringify(answer);
    const bytes = Buffer.byteLength(text);
    if (this.bytes + bytes > MAX_ANSWER_BYTES) this.flush();
    if (this.answers.length === 0) setImmediate(() => this.flush());
    this.answers.push(text);
    this.bytes += bytes;
  }

  end(): void {
    this.flush();
    this.subscriber.complete();
  }

  private flush(): void {
    const { answers } = this;
    this.answers = [];
    this.bytes = 0;
    if (answers.length > 0) this.subscriber.next({ answers });
  }
}

function refused(code: string, detail: string): Observable<CallsResponse> {
  return of({ refusal: { code, detail } });
}

/** A class of its own, with the name of its messages. */
export function messagesAt(pattern: string): Type {
  @Controller()
  class MessagesOfHost extends HostMessages {
    // Replicas that name one queue group of NATS share the messages. Other transports do not read it.
    @MessagePattern(pattern, { queue: pattern, ...HOST_HANDLER })
    take(@Payload() data: unknown, @Ctx() context: unknown): Observable<CallsResponse> {
      // An answer is small, and would wait until the other side has acknowledged the one before.
      if (context instanceof TcpContext) context.getSocketRef().netSocket.setNoDelay(true);
      return this.serve(data);
    }

    @GrpcMethod(GRPC_SERVICE, GRPC_METHOD)
    takeOverGrpc(data: unknown): Observable<CallsResponse> {
      return this.serve(data);
    }
  }
  return MessagesOfHost;
}
