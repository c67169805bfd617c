import {
  Body,
  type CanActivate,
  Controller,
  type ExecutionContext,
  HttpCode,
  HttpStatus,
  Injectable,
  Post,
  Res,
  StandardSchemaValidationPipe,
  UseFilters,
  UseGuards,
  UsePipes,
  VERSION_NEUTRAL,
} from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { CoordinatorError } from '../../coordinator/index.js';
import { ProblemFilter } from '../problem/problem.filter.js';
import { ProblemException, problemOf } from '../problem/problem.js';
import { Reply } from '../reply.js';
import { type MemberCall, memberCallSchema } from './member-call.js';
import { WrongMemberError } from './member-errors.js';
import { MemberTokens } from './member-tokens.js';
import { OwnAnswers } from './own-answers.js';

/**
 * Admits the other members of the coordinator. The token of a reader or an operator is worth nothing here.
 */
@Injectable()
export class MemberGuard implements CanActivate {
  constructor(private readonly tokens: MemberTokens) {}

  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, unknown> }>();
    const { authorization } = headers;
    this.tokens.admit(typeof authorization === 'string' ? authorization : undefined);
    return true;
  }
}

/**
 * The route for the other members of the coordinator. It is a route of its own: no field of a request to
 * another route says that it comes from a member, and this member alone answers the calls to it.
 */
@ApiExcludeController()
@Controller({ path: 'members/calls', version: VERSION_NEUTRAL })
@UseGuards(MemberGuard)
@UsePipes(new StandardSchemaValidationPipe())
@UseFilters(ProblemFilter)
export class MemberCallsController {
  constructor(
    private readonly answers: OwnAnswers,
    private readonly reply: Reply,
  ) {}

  @Post()
  @HttpCode(HttpStatus.OK)
  async call(@Body({ schema: memberCallSchema }) call: MemberCall, @Res() response: unknown): Promise<void> {
    this.reply.send(response, await this.answers.answer(call).catch((error: unknown) => refuse(error, call)));
  }
}

/** @throws the refusal, with the member that gives it: the caller believes no other one. */
function refuse(error: unknown, { coordinator, logId, to: epoch }: MemberCall): never {
  // A process that was not asked does not answer as if it was. An unexpected error is logged in full.
  if (!(error instanceof CoordinatorError) || error instanceof WrongMemberError) throw error;
  const problem = problemOf(error);
  if (problem.code === 'DTC_INTERNAL') throw error;
  const refusal = { ...problem, coordinator, logId, epoch };
  throw new ProblemException(refusal);
}
