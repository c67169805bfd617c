import { Body, Delete, Get, HttpCode, HttpStatus, Optional, Param, Put, Res } from '@nestjs/common';
import { ApiNoContentResponse, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { ParticipantRegistry } from '../coordinator/index.js';
import { ApiProblem } from '../operations/problem/api-problem.decorator.js';
import { Reply } from '../operations/reply.js';
import { RemoteParticipants } from '../remote/index.js';
import type { ServerCaller } from './access/server-access.js';
import { AskedBy, ForRoles } from './access/server.guard.js';
import { RegistrationClosedError, RoleNeededError } from './errors.js';
import { ServerRoutes } from './server-routes.decorator.js';
import { type RegisterMessage, participantsSchema, registerSchema, registeredSchema } from './wire/index.js';

/** The participants that transactions can name, and those that register themselves. */
@ServerRoutes('dtc/participants')
export class ServerParticipantsController {
  constructor(
    private readonly registry: ParticipantRegistry,
    private readonly reply: Reply,
    @Optional() private readonly remote?: RemoteParticipants,
  ) {}

  @Get()
  @ForRoles('caller', 'participant', 'reader', 'operator')
  @ApiOperation({ summary: 'The participants that transactions can name' })
  @ApiOkResponse({ standardSchema: participantsSchema })
  list(@Res() response: unknown): void {
    const remote = new Map(this.remote?.list().map((known) => [known.name, known.address]));
    const participants = this.registry
      .list()
      .map(({ name }) => ({ name, address: remote.get(name) ?? null }));
    this.reply.send(response, { participants });
  }

  @Put(':name')
  @HttpCode(HttpStatus.OK)
  @ForRoles('participant', 'operator')
  @ApiOperation({
    summary: 'Register a participant, or say that it has moved. Its branches in doubt follow it',
  })
  @ApiOkResponse({ standardSchema: registeredSchema })
  @ApiProblem(400, 'The name or the address is not valid')
  @ApiProblem(409, 'A participant with a configured address has the name')
  @ApiProblem(503, 'The registration cannot be kept now. Send it again')
  async register(
    @Param('name') name: string,
    @Body({ schema: registerSchema }) { address }: RegisterMessage,
    @AskedBy() caller: ServerCaller,
    @Res() response: unknown,
  ): Promise<void> {
    await this.remoteFor(name, caller).register(name, address);
    this.reply.send(response, { name, address });
  }

  @Delete(':name')
  @HttpCode(HttpStatus.NO_CONTENT)
  @ForRoles('participant', 'operator')
  @ApiOperation({ summary: 'Remove a participant that has registered itself, if no transaction needs it' })
  @ApiNoContentResponse({ description: 'It takes no more branches' })
  @ApiProblem(404, 'No participant has registered itself under this name')
  @ApiProblem(409, 'A transaction needs it')
  @ApiProblem(503, 'It cannot be found out whether a transaction needs it')
  async unregister(@Param('name') name: string, @AskedBy() caller: ServerCaller): Promise<void> {
    await this.remoteFor(name, caller).unregister(name);
  }

  /** @throws RoleNeededError for the name of another participant. RegistrationClosedError. */
  private remoteFor(name: string, { name: caller, role }: ServerCaller): RemoteParticipants {
    // A host of several participants has their names in the one of its credential. No name of a participant
    // has a dot.
    const isOwn = role !== 'participant' || caller.split('.').includes(name);
    if (!isOwn) throw new RoleNeededError(caller, ['operator']);
    if (this.remote === undefined) throw new RegistrationClosedError();
    return this.remote;
  }
}
