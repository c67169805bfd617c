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
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { ApiExcludeController } from '@nestjs/swagger';
import { ProblemFilter } from './problem/problem.filter.js';
import { ProblemException } from './problem/problem.js';
import { type DashboardFile, DashboardFiles } from './dashboard-files.js';

/** Where the built dashboard is, for whoever keeps it elsewhere than beside the compiled code. */
export const DASHBOARD_FOLDER = Symbol('DASHBOARD_FOLDER');

const BUILT_WITH_THE_PACKAGE = join(import.meta.dirname, '../dashboard');

/**
 * The dashboard at `/dashboard`: files only, which know nothing. What they show they ask of the routes beside them,
 * with the token of whoever looks, so the files themselves are open.
 */
@ApiExcludeController()
@Controller('dashboard')
@UseFilters(ProblemFilter)
export class DashboardController {
  private readonly files: DashboardFiles;

  constructor(
    private readonly adapterHost: HttpAdapterHost,
    @Optional() @Inject(DASHBOARD_FOLDER) folder: string = BUILT_WITH_THE_PACKAGE,
  ) {
    this.files = DashboardFiles.read(folder);
  }

  /**
   * The page names its files relative to itself, so that it works under any prefix, and therefore lives at one address
   * only: a platform that takes a trailing slash for the same route sends the browser there.
   */
  @Get()
  index(@Req() request: { url: string }, @Res({ passthrough: true }) response: unknown): StreamableFile {
    const path = request.url.split('?', 1)[0]!;
    if (!path.endsWith('/')) return this.answer('index.html', response);
    const { httpAdapter } = this.adapterHost;
    httpAdapter.setHeader(response, 'Location', '../dashboard');
    httpAdapter.status(response, HttpStatus.TEMPORARY_REDIRECT);
    return new StreamableFile(Buffer.alloc(0), { type: 'text/plain', length: 0 });
  }

  @Get(':name')
  file(@Param('name') name: string, @Res({ passthrough: true }) response: unknown): StreamableFile {
    return this.answer(name, response);
  }

  @Get('assets/:name')
  asset(@Param('name') name: string, @Res({ passthrough: true }) response: unknown): StreamableFile {
    return this.answer(`assets/${name}`, response);
  }

  private answer(name: string, response: unknown): StreamableFile {
    const { body, contentType, headers } = this.find(name);
    for (const [header, value] of Object.entries(headers)) {
      this.adapterHost.httpAdapter.setHeader(response, header, value);
    }
    return new StreamableFile(body, { type: contentType, length: body.length });
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
