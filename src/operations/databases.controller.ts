import { Get, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { databasesSchema } from './databases/database.schemas.js';
import { DatabaseWatch } from './databases/database-watch.js';
import { OperatorRoutes } from './operator-routes.decorator.js';
import { Reply } from './reply.js';

/** The prepared branches in the databases of the participants. */
@OperatorRoutes('databases')
export class DatabasesController {
  constructor(
    private readonly watch: DatabaseWatch,
    private readonly reply: Reply,
  ) {}

  @Get()
  @ApiOperation({
    summary:
      'The prepared transactions in the databases of the participants, what the log knows of them, and who waits for whom',
  })
  @ApiOkResponse({ standardSchema: databasesSchema })
  async list(@Res() response: unknown): Promise<void> {
    this.reply.send(response, await this.watch.now());
  }
}
