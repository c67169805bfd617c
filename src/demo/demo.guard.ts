import { type CanActivate, type ExecutionContext, HttpStatus, Inject, Injectable } from '@nestjs/common';
import { ProblemException } from '../operations/problem/problem.js';
import { DEMO_SETTINGS, type DemoSettings } from './demo.settings.js';

interface Request {
  readonly headers: { readonly host?: string };
}

/**
 * Admits requests that address this machine by a name of its own. A page of another site whose name points to
 * this machine asks by that name. Other sites cannot send PUT or DELETE at all, and every change here is one
 * of these.
 */
@Injectable()
export class DemoGuard implements CanActivate {
  private readonly hosts: ReadonlySet<string>;

  constructor(@Inject(DEMO_SETTINGS) { hosts }: DemoSettings) {
    this.hosts = new Set(hosts.map((host) => host.toLowerCase()));
  }

  canActivate(context: ExecutionContext): boolean {
    const { host = '' } = context.switchToHttp().getRequest<Request>().headers;
    if (this.hosts.has(host.replace(/:\d+$/, '').toLowerCase())) return true;
    throw new ProblemException({
      status: HttpStatus.FORBIDDEN,
      code: 'DTC_FORBIDDEN',
      detail: `The demonstration is for this machine alone, so nothing was done. Ask for it at ${[...this.hosts].join(' or ')}.`,
    });
  }
}
