import { HttpStatus, Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';

/**
 * Sends answers directly. The return value of a handler passes through the global interceptors of the
 * application, which may wrap it: then neither the dashboard nor a collector of metrics could read it.
 */
@Injectable()
export class Reply {
  constructor(private readonly adapterHost: HttpAdapterHost) {}

  /** @param response as the handler got it by `@Res()`. Its status and headers are set by now. */
  send(response: unknown, body: unknown): void {
    this.adapterHost.httpAdapter.reply(response, body);
  }

  header(response: unknown, name: string, value: string): void {
    this.adapterHost.httpAdapter.setHeader(response, name, value);
  }

  redirect(response: unknown, url: string): void {
    this.adapterHost.httpAdapter.redirect(response, HttpStatus.TEMPORARY_REDIRECT, url);
  }
}
