import { join } from 'node:path';
import {
  Controller,
  Get,
  HttpStatus,
  Inject,
  Optional,
  Param,
  Req,
  Res,
  StreamableFile,
  UseFilters,
  VERSION_NEUTRAL,
} from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { ProblemFilter } from './problem/problem.filter.js';
import { ProblemException } from './problem/problem.js';
import { type DashboardFile, DashboardFiles } from './dashboard-files.js';
import { Reply } from './reply.js';

/**
 * The token of the folder of the built dashboard, for applications that keep it elsewhere than beside the
 * compiled code. Provide the path in a module that is global, or that `forRootAsync` imports: `{ provide:
 * DASHBOARD_FOLDER, useValue: path }`.
 *
 * @publicApi
 */
export const DASHBOARD_FOLDER = Symbol('DASHBOARD_FOLDER');

const BUILT_WITH_THE_PACKAGE = join(import.meta.dirname, '../dashboard');

/**
 * The dashboard at `/dashboard`: only static files. They request their data from the routes beside them, with
 * the token of the reader, so the files themselves need no token.
 */
@ApiExcludeController()
@Controller({ path: 'dashboard', version: VERSION_NEUTRAL })
@UseFilters(ProblemFilter)
export class DashboardController {
  private readonly files: DashboardFiles;

  constructor(
    private readonly reply: Reply,
    @Optional() @Inject(DASHBOARD_FOLDER) folder: string = BUILT_WITH_THE_PACKAGE,
  ) {
    this.files = DashboardFiles.read(folder);
  }

  /**
   * The page names its files relative to itself, so that it works under any prefix. So it has one address
   * only: a platform that ignores a trailing slash redirects the browser there.
   */
  @Get()
  index(@Req() request: { url: string }, @Res() response: unknown): void {
    const path = request.url.split('?', 1)[0]!;
    if (path.endsWith('/')) this.reply.redirect(response, '../dashboard');
    else this.answer('index.html', response);
  }

  @Get(':name')
  file(@Param('name') name: string, @Res() response: unknown): void {
    this.answer(name, response);
  }

  @Get('assets/:name')
  asset(@Param('name') name: string, @Res() response: unknown): void {
    this.answer(`assets/${name}`, response);
  }

  private answer(name: string, response: unknown): void {
    const { body, contentType, headers } = this.find(name);
    for (const [header, value] of Object.entries(headers)) this.reply.header(response, header, value);
    this.reply.send(response, new StreamableFile(body, { type: contentType, length: body.length }));
  }

  private find(name: string): DashboardFile {
    const file = this.files.find(name);
    if (file !== undefined) return file;
    throw new ProblemException({
      status: HttpStatus.NOT_FOUND,
      code: 'DTC_NOT_FOUND',
      detail: this.files.isBuilt
        ? 'The dashboard has no such file.'
        : 'The dashboard has not been built. Run "npm run build", which writes it to dist/dashboard, and start again.',
    });
  }
}
