import { join } from 'node:path';
import { Controller, Get, HttpStatus, Param, Res, StreamableFile, UseGuards } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { ApiExcludeController } from '@nestjs/swagger';
import { DashboardFiles } from '../operations/dashboard-files.js';
import { ProblemException } from '../operations/problem/problem.js';
import { DemoGuard } from './demo.guard.js';

const FOLDER = join(import.meta.dirname, 'page');

/**
 * The page of the demonstration: buttons for faults, traffic and supplies. Its files are sent under the
 * policy of the dashboard.
 */
@ApiExcludeController()
@Controller('demo')
@UseGuards(DemoGuard)
export class PageController {
  private readonly files = DashboardFiles.read(FOLDER);

  constructor(private readonly adapterHost: HttpAdapterHost) {}

  @Get()
  page(@Res({ passthrough: true }) response: unknown): StreamableFile {
    return this.fileOf('index.html', response);
  }

  @Get('page/:name')
  file(@Param('name') name: string, @Res({ passthrough: true }) response: unknown): StreamableFile {
    return this.fileOf(name, response);
  }

  private fileOf(name: string, response: unknown): StreamableFile {
    const file = this.files.find(name);
    if (file === undefined) {
      throw new ProblemException({
        status: HttpStatus.NOT_FOUND,
        code: 'DTC_NOT_FOUND',
        detail: 'The page of the demonstration has no such file.',
      });
    }
    const { httpAdapter } = this.adapterHost;
    for (const [header, value] of Object.entries(file.headers))
      httpAdapter.setHeader(response, header, value);
    return new StreamableFile(file.body, { type: file.contentType, length: file.body.length });
  }
}
