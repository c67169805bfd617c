import {
  type CanActivate,
  type ExecutionContext,
  Injectable,
  SetMetadata,
  createParamDecorator,
} from '@nestjs/common';
import { HttpAdapterHost, Reflector } from '@nestjs/core';
import { UnauthenticatedError } from '../../operations/access/access-errors.js';
import { ServerAccess, type ServerCaller, type ServerRole } from './server-access.js';

const ALLOWED = Symbol('allowed roles');
const CALLER = Symbol('server caller');

interface Request {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  [CALLER]?: ServerCaller;
}

/** Names the roles that may use a route. Without it no role may. */
export const ForRoles = (...roles: readonly ServerRole[]): MethodDecorator => SetMetadata(ALLOWED, roles);

/** The process that asks, as the guard has identified it. */
export const AskedBy = createParamDecorator(
  (_data: unknown, context: ExecutionContext): ServerCaller =>
    context.switchToHttp().getRequest<Request>()[CALLER]!,
);

/** Admits the processes that {@link ServerAccess} knows. */
@Injectable()
export class ServerGuard implements CanActivate {
  constructor(
    private readonly access: ServerAccess,
    private readonly reflector: Reflector,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  canActivate(context: ExecutionContext): boolean {
    const http = context.switchToHttp();
    const request = http.getRequest<Request>();
    const allowed = this.reflector.get<readonly ServerRole[] | undefined>(ALLOWED, context.getHandler());
    const { authorization } = request.headers;
    try {
      request[CALLER] = this.access.admit(authorization as string | undefined, allowed ?? []);
    } catch (error) {
      if (error instanceof UnauthenticatedError) {
        this.adapterHost.httpAdapter.setHeader(http.getResponse(), 'WWW-Authenticate', 'Bearer');
      }
      throw error;
    }
    return true;
  }
}
