import { Sse, type MessageEvent } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import type { Observable } from 'rxjs';
import { ApiProblem } from './problem/api-problem.decorator.js';
import type { Caller } from './access/access.js';
import { CalledBy } from './access/access.guard.js';
import { OperatorRoutes } from './operator-routes.decorator.js';
import { OverviewStream } from './overview-stream.js';

/** How things are, as they change. */
@OperatorRoutes('events')
export class EventsController {
  constructor(private readonly stream: OverviewStream) {}

  @Sse()
  @ApiOperation({
    summary: 'An overview every second, as server-sent events; the stream ends after five minutes',
  })
  @ApiOkResponse({ content: { 'text/event-stream': { schema: { type: 'string' } } } })
  @ApiProblem(503, 'Too many streams are open')
  events(@CalledBy() caller: Caller): Observable<MessageEvent> {
    return this.stream.subscribe(caller.name);
  }
}
