import {
  type CanActivate,
  type ExecutionContext,
  Injectable,
  SetMetadata,
  createParamDecorator,
} from '@nestjs/common';
import { HttpAdapterHost, Reflector } from '@nestjs/core';
import { Access, type Caller, type Role } from './access.js';
import { UnauthenticatedError } from './access-errors.js';

const ROLE = Symbol('role');
const CALLER = Symbol('caller');

interface Request {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  [CALLER]?: Caller;
}

/** Only operators may. Without it a route is for whoever may see. */
export const ForOperators = (): MethodDecorator => SetMetadata(ROLE, 'operator' satisfies Role);

/** The caller of a route, as the guard has found it out. */
export const CalledBy = createParamDecorator(
  (_data: unknown, context: ExecutionContext): Caller =>
    context.switchToHttp().getRequest<Request>()[CALLER]!,
);

/** Lets in whom {@link Access} admits. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly access: Access,
    private readonly reflector: Reflector,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  canActivate(context: ExecutionContext): boolean {
    const http = context.switchToHttp();
    const request = http.getRequest<Request>();
    const role = this.reflector.get<Role | undefined>(ROLE, context.getHandler()) ?? 'reader';
    const { authorization, host } = request.headers;
    try {
      request[CALLER] = this.access.admit(
        authorization as string | undefined,
        role,
        host as string | undefined,
      );
    } catch (error) {
      if (error instanceof UnauthenticatedError) {
        this.adapterHost.httpAdapter.setHeader(http.getResponse(), 'WWW-Authenticate', 'Bearer');
      }
      throw error;
    }
    return true;
  }
}
