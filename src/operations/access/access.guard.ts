import {
  type CanActivate,
  type ExecutionContext,
  Injectable,
  SetMetadata,
  UnsupportedMediaTypeException,
  UseGuards,
  applyDecorators,
  createParamDecorator,
} from '@nestjs/common';
import { HttpAdapterHost, Reflector } from '@nestjs/core';
import { Access, type Caller, type Role } from './access.js';
import { ForbiddenError, UnauthenticatedError } from './access-errors.js';

const ROLE = Symbol('role');
const CALLER = Symbol('caller');

interface Request {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  [CALLER]?: Caller;
}

/**
 * Admits bodies of JSON only. A browser sends a form of another site with the cookies of its user, but it
 * sends JSON across sites only after this server has allowed it.
 */
class JsonGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { 'content-type': type } = context.switchToHttp().getRequest<Request>().headers;
    const essence = typeof type === 'string' ? type.split(';', 1)[0]!.trim().toLowerCase() : undefined;
    if (essence === 'application/json') return true;
    throw new UnsupportedMediaTypeException(
      'An action takes a body of JSON only, so nothing was done. Send it with Content-Type: application/json.',
    );
  }
}

/** Restricts a route that changes nothing to operators. */
export const ForReadingOperators = (): MethodDecorator => SetMetadata(ROLE, 'operator' satisfies Role);

/** Restricts a route to operators, and to bodies of JSON. Without it, readers may use the route. */
export const ForOperators = (): MethodDecorator =>
  applyDecorators(ForReadingOperators(), UseGuards(new JsonGuard()));

/** The caller of a route, as the guard has identified it. */
export const CalledBy = createParamDecorator(
  (_data: unknown, context: ExecutionContext): Caller =>
    context.switchToHttp().getRequest<Request>()[CALLER]!,
);

/** Admits the callers that {@link Access} accepts. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly access: Access,
    private readonly reflector: Reflector,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<Request>();
    const role = this.reflector.get<Role | undefined>(ROLE, context.getHandler()) ?? 'reader';
    if (this.access.authorize !== undefined) {
      const caller = await this.access.authorize(context, role);
      request[CALLER] = admitted(caller, role);
      return true;
    }
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

/**
 * @param answer the return value of the application's `authorize`. Its type is only a promise of the
 * application, so it is checked.
 * @returns the caller that the application admits.
 * @throws ForbiddenError when it admits no caller, a reader where an operator is needed, or an operator
 * without a name.
 */
function admitted(answer: unknown, needed: Role): Caller {
  const { name, role } = (typeof answer === 'object' && answer !== null ? answer : {}) as Partial<
    Record<keyof Caller, unknown>
  >;
  const known = typeof name === 'string' && name !== '' ? name : null;
  if (role !== 'operator' && (role !== 'reader' || needed === 'operator')) {
    throw new ForbiddenError(known ?? 'This caller');
  }
  if (needed === 'operator' && known === null) {
    throw new ForbiddenError(
      'This operator',
      'The audit trail needs a name, and the option authorize of OperationsModule has given none: let it return { name, role }.',
    );
  }
  return { name: known, role };
}
