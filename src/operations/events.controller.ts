import type { IncomingMessage, ServerResponse } from 'node:http';
import { Get, Req, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { ApiProblem } from './problem/api-problem.decorator.js';
import type { Caller } from './access/access.js';
import { CalledBy } from './access/access.guard.js';
import { sendEvents } from './event-stream.js';
import { OperatorRoutes } from './operator-routes.decorator.js';
import { OverviewStream } from './overview-stream.js';

/** The present condition, as it changes. */
@OperatorRoutes('events')
export class EventsController {
  constructor(private readonly stream: OverviewStream) {}

  @Get()
  @ApiOperation({
    summary: 'An overview every second, as server-sent events; the stream ends after five minutes',
  })
  @ApiOkResponse({ content: { 'text/event-stream': { schema: { type: 'string' } } } })
  @ApiProblem(503, 'Too many streams are open')
  events(@CalledBy() caller: Caller, @Req() request: IncomingMessage, @Res() response: ServerResponse): void {
    sendEvents(this.stream.subscribe(caller.name), request, response);
  }
}
