import {
  applyDecorators,
  Body,
  Get,
  Headers,
  HttpCode,
  HttpStatus,
  Param,
  Post,
  Req,
  Res,
} from '@nestjs/common';
import {
  ApiAcceptedResponse,
  ApiCreatedResponse,
  ApiHeader,
  ApiOkResponse,
  ApiOperation,
} from '@nestjs/swagger';
import { HttpAdapterHost } from '@nestjs/core';
import { InvalidRequestError, type Outcome } from '../coordinator/index.js';
import { type TraceNote, inTraceOf } from '../coordinator/observation/tracing/trace-context.js';
import { requestIdFrom } from '../coordinator/participant/caller-note.js';
import { ApiProblem } from '../operations/problem/api-problem.decorator.js';
import { Reply } from '../operations/reply.js';
import type { ServerCaller } from './access/server-access.js';
import { AskedBy, ForRoles } from './access/server.guard.js';
import { CallerTransactions, type KeyedCall } from './caller-transactions.js';
import { ServerRoutes } from './server-routes.decorator.js';
import {
  type BeginMessage,
  type EnlistMessage,
  REQUEST_ID_HEADER,
  REQUEST_KEY_HEADER,
  REQUEST_KEY_PATTERN,
  RUN_HEADER,
  RUN_PATTERN,
  type RollbackMessage,
  type RunMessage,
  beginSchema,
  begunSchema,
  commitSchema,
  decisionSchema,
  enlistSchema,
  enlistedSchema,
  greetingSchema,
  knownSchema,
  outcomeSchema,
  rollbackOnlySchema,
  rollbackSchema,
  runSchema,
} from './wire/index.js';

const REQUEST_KEY = new RegExp(REQUEST_KEY_PATTERN);
const RUN = new RegExp(RUN_PATTERN);

const ApiKey = (): MethodDecorator =>
  ApiHeader({
    name: REQUEST_KEY_HEADER,
    required: true,
    description:
      'Names the request: a repeat of it does nothing twice. A caller never gives a key to two requests.',
    schema: { type: 'string', pattern: REQUEST_KEY_PATTERN },
  });

const ApiRun = (): MethodDecorator =>
  ApiHeader({
    name: RUN_HEADER,
    required: false,
    description:
      'The run of the coordinator that is meant, as `GET` of this interface tells it. Without a shared log, a repeat that reaches a ' +
      'later run is then refused instead of run again.',
    schema: { type: 'string' },
  });

const ApiOrigin = (): MethodDecorator =>
  applyDecorators(
    ApiHeader({
      name: REQUEST_ID_HEADER,
      required: false,
      description:
        'The id of the request that the transaction belongs to: in its log lines, in views, and kept with the decision. A repeat may ' +
        'have another one. What is not 1 to 200 visible ASCII characters is ignored.',
      schema: { type: 'string' },
    }),
    ApiHeader({
      name: 'traceparent',
      required: false,
      description: 'The trace of the caller, as W3C writes it.',
      schema: { type: 'string' },
    }),
  );

const refusedBeforeItBegan = (): MethodDecorator =>
  ApiProblem(503, 'It cannot be taken now. Nothing was begun: send it again later with the same key');

/** Transactions of callers in other processes, in any language. */
@ServerRoutes('dtc')
export class CallerTransactionsController {
  constructor(
    private readonly calls: CallerTransactions,
    private readonly reply: Reply,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  @Get()
  @ForRoles('caller', 'participant', 'reader', 'operator')
  @ApiOperation({ summary: 'The coordinator that answers' })
  @ApiOkResponse({ standardSchema: greetingSchema })
  greet(@Res() response: unknown): void {
    this.reply.send(response, this.calls.greeting());
  }

  @Post('run')
  @ForRoles('caller')
  @HttpCode(HttpStatus.OK)
  @ApiOperation({ summary: 'Run a transaction from its start to its outcome' })
  @ApiKey()
  @ApiRun()
  @ApiOrigin()
  @ApiOkResponse({ standardSchema: outcomeSchema })
  @ApiAcceptedResponse({ description: 'The outcome is not known yet', standardSchema: outcomeSchema })
  @ApiProblem(400, 'The request is not valid')
  @ApiProblem(409, 'The key belongs to another request, or it is meant for another run of the coordinator')
  @ApiProblem(413, 'The body is too large')
  @refusedBeforeItBegan()
  async run(
    @Body({ schema: runSchema }) body: RunMessage,
    @AskedBy() caller: ServerCaller,
    @Headers() headers: Headers_,
    @Res() response: unknown,
  ): Promise<void> {
    const call = keyedCall(caller, headers);
    this.answer(response, await inTraceOf(traceIn(headers), () => this.calls.run(call, body)));
  }

  @Post('transactions')
  @ForRoles('caller')
  @ApiOperation({ summary: 'Begin a transaction. If it is abandoned, its time-out ends it' })
  @ApiKey()
  @ApiRun()
  @ApiOrigin()
  @ApiCreatedResponse({
    standardSchema: begunSchema,
    headers: {
      Location: {
        description:
          'The URL of the transaction at the member that owns it: send all that concerns it there.',
        schema: { type: 'string' },
      },
    },
  })
  @ApiProblem(400, 'The request is not valid')
  @ApiProblem(409, 'The key belongs to another request, or it is meant for another run of the coordinator')
  @refusedBeforeItBegan()
  async begin(
    @Body({ schema: beginSchema }) body: BeginMessage,
    @AskedBy() caller: ServerCaller,
    @Headers() headers: Headers_,
    @Req() request: Requested,
    @Res() response: unknown,
  ): Promise<void> {
    const call = keyedCall(caller, headers);
    const begun = await inTraceOf(traceIn(headers), () => this.calls.begin(call, body));
    const origin = await this.calls.addressOf(begun.transactionId);
    const path = `${pathOf(request)}/${begun.transactionId}`;
    const location = origin === null ? path : new URL(path, origin).href;
    this.adapterHost.httpAdapter.setHeader(response, 'Location', location);
    this.reply.send(response, begun);
  }

  @Get('transactions/:id')
  @ForRoles('caller', 'participant', 'reader', 'operator')
  @ApiOperation({ summary: 'What is known of a transaction, whichever member has begun it' })
  @ApiOkResponse({ standardSchema: knownSchema })
  async known(@Param('id') id: string, @Res() response: unknown): Promise<void> {
    this.reply.send(response, await this.calls.known(id));
  }

  @Get('transactions/:id/decision')
  @ForRoles('participant', 'operator')
  @ApiOperation({ summary: 'What a participant in doubt has to do with its branches of a transaction' })
  @ApiOkResponse({ standardSchema: decisionSchema })
  async decision(@Param('id') id: string, @Res() response: unknown): Promise<void> {
    this.reply.send(response, await this.calls.decision(id));
  }

  @Post('transactions/:id/branches')
  @ForRoles('caller')
  @HttpCode(HttpStatus.OK)
  @ApiOperation({ summary: 'Add a branch. A repeat with the same id and payload adds nothing' })
  @ApiOkResponse({ standardSchema: enlistedSchema })
  @ApiProblem(400, 'The request is not valid')
  @ApiProblem(404, 'The transaction is not known')
  @ApiProblem(409, 'It takes no more branches, the id is taken, or it belongs to another member')
  @ApiProblem(413, 'The body is too large')
  @ApiProblem(503, 'The participant takes no branch now')
  async enlist(
    @Param('id') id: string,
    @Body({ schema: enlistSchema }) body: EnlistMessage,
    @Res() response: unknown,
  ): Promise<void> {
    this.reply.send(response, await this.calls.enlist(id, body));
  }

  @Post('transactions/:id/commit')
  @ForRoles('caller')
  @HttpCode(HttpStatus.OK)
  @ApiOperation({ summary: 'Ask for commit. A repeat gets the one outcome of the transaction' })
  @ApiOkResponse({ standardSchema: outcomeSchema })
  @ApiAcceptedResponse({ description: 'The outcome is not known yet', standardSchema: outcomeSchema })
  @ApiProblem(404, 'The transaction is not known. It may have committed')
  @ApiProblem(409, 'It belongs to another member')
  @ApiProblem(503, 'Too many requests wait')
  async commit(
    @Param('id') id: string,
    @Body({ schema: commitSchema.optional() }) _body: object | undefined,
    @Res() response: unknown,
  ): Promise<void> {
    this.answer(response, await this.calls.commit(id));
  }

  @Post('transactions/:id/rollback')
  @ForRoles('caller')
  @HttpCode(HttpStatus.OK)
  @ApiOperation({ summary: 'Ask for rollback. If commit is decided, the outcome shows it' })
  @ApiOkResponse({ standardSchema: outcomeSchema })
  @ApiAcceptedResponse({ description: 'The outcome is not known yet', standardSchema: outcomeSchema })
  @ApiProblem(404, 'The transaction is not known. It may have committed')
  @ApiProblem(409, 'It belongs to another member')
  @ApiProblem(503, 'Too many requests wait')
  async rollback(
    @Param('id') id: string,
    @Body({ schema: rollbackSchema.optional() }) body: RollbackMessage | undefined,
    @Res() response: unknown,
  ): Promise<void> {
    this.answer(response, await this.calls.rollback(id, body?.reason));
  }

  @Post('transactions/:id/rollback-only')
  @ForRoles('caller')
  @HttpCode(HttpStatus.OK)
  @ApiOperation({ summary: 'Rule commit out. Without effect once the voting has started' })
  @ApiOkResponse({ standardSchema: rollbackOnlySchema })
  @ApiProblem(404, 'The transaction is not known')
  @ApiProblem(409, 'It belongs to another member')
  async rollbackOnly(
    @Param('id') id: string,
    @Body({ schema: rollbackSchema.optional() }) body: RollbackMessage | undefined,
    @Res() response: unknown,
  ): Promise<void> {
    this.reply.send(response, await this.calls.rollbackOnly(id, body?.reason));
  }

  /** 202 says that the outcome is not known yet. */
  private answer(response: unknown, outcome: Outcome): void {
    if (outcome.status === 'pending') this.adapterHost.httpAdapter.status(response, HttpStatus.ACCEPTED);
    this.reply.send(response, outcome);
  }
}

/** A request of Express or of Fastify. */
interface Requested {
  readonly originalUrl: string;
}

function pathOf({ originalUrl }: Requested): string {
  return originalUrl.split('?', 1)[0]!.replace(/\/+$/, '');
}

type Headers_ = Readonly<Record<string, string | undefined>>;

function traceIn({ traceparent, tracestate }: Headers_): TraceNote {
  return {
    ...(traceparent !== undefined && { traceparent }),
    ...(tracestate !== undefined && { tracestate }),
  };
}

/** @throws InvalidRequestError when there is no valid key, or the run is not one. */
function keyedCall(caller: ServerCaller, headers: Headers_): KeyedCall {
  const key = headers[REQUEST_KEY_HEADER.toLowerCase()];
  const run = headers[RUN_HEADER.toLowerCase()];
  if (key === undefined || !REQUEST_KEY.test(key)) {
    throw new InvalidRequestError(
      `The header ${REQUEST_KEY_HEADER}`,
      'must be 1 to 128 visible ASCII characters, and different for every request',
    );
  }
  if (run !== undefined && !RUN.test(run)) {
    throw new InvalidRequestError(
      `The header ${RUN_HEADER}`,
      'must be the run that the coordinator has told',
    );
  }
  return { caller, key, run, requestId: requestIdFrom(headers[REQUEST_ID_HEADER.toLowerCase()]) };
}
