import { createHash, timingSafeEqual } from 'node:crypto';
import {
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
  SetMetadata,
  UseGuards,
  UseInterceptors,
  applyDecorators,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { Observable, catchError, from, switchMap, throwError } from 'rxjs';
import { LogLine } from '../coordinator/gate/log-line.js';
import { SafeLogger } from '../coordinator/gate/safe-logger.js';
import { messageOf, oneLine } from '../coordinator/gate/texts.js';
import { activeTrace } from '../coordinator/observation/tracing/trace-context.js';
import { originOf } from '../coordinator/participant/caller-note.js';
import { CARRIER_HEADER, TRANSACTION_HEADER, TRANSACTION_ID_PATTERN } from '../server/wire/index.js';
import { CarriedTransactionError, CarriedTransactionNeededError, CarrierRefusedError } from './errors.js';
import { type CarrierCredential, type ResolvedClientOptions, tokensFrom } from './client.options.js';
import type { Transaction } from './transaction.js';
import { CLIENT_OPTIONS, TransactionManager } from './transaction-manager.js';

const TRANSACTION_ID = new RegExp(TRANSACTION_ID_PATTERN);
const BEARER = /^Bearer +([!-~]{1,512})$/i;
const CARRIED = Symbol('carried transaction');
const IS_NEEDED = Symbol('a carried transaction is needed');

/** Where what was carried stands between the guard and the interceptor. */
interface Carrying {
  [CARRIED]?: Transaction;
}

/** Values that another process has sent. None of them is trusted yet. */
interface Sent {
  readonly id: unknown;
  readonly credential: unknown;
  /** The object of this request, where the guard keeps what it has found. */
  readonly place: Carrying;
}

/** Admits a carried transaction only with the credential of a known service. */
@Injectable()
export class CarriedTransactionGuard implements CanActivate {
  constructor(
    private readonly transactions: TransactionManager,
    @Inject(CLIENT_OPTIONS) private readonly options: ResolvedClientOptions,
    private readonly reflector: Reflector,
  ) {}

  canActivate(context: ExecutionContext): boolean {
    const { id, credential, place } = sentIn(context);
    // The controller and its handler are decorated, both.
    if (place[CARRIED] !== undefined) return true;
    if (id === undefined) {
      if (this.isNeeded(context)) throw new CarriedTransactionNeededError();
      return true;
    }
    if (!isKnown(credential, this.options.carriers())) throw new CarrierRefusedError();
    if (typeof id !== 'string' || !TRANSACTION_ID.test(id)) throw new CarriedTransactionError();
    place[CARRIED] = this.transactions.join(id);
    unwrap(context);
    return true;
  }

  private isNeeded(context: ExecutionContext): boolean {
    return this.reflector.getAllAndOverride<boolean>(IS_NEEDED, [context.getHandler(), context.getClass()]);
  }
}

/** Runs the handler in the carried transaction. An error of the handler rules its commit out. */
@Injectable()
export class CarriedTransactionInterceptor implements NestInterceptor {
  private readonly logger = new SafeLogger('TransactionClientModule');

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const transaction = placeIn(context)[CARRIED];
    if (transaction === undefined) return next.handle();
    return new Observable<unknown>((subscriber) =>
      transaction.run(() => next.handle().pipe(this.rulingOut(transaction)).subscribe(subscriber)),
    );
  }

  private rulingOut(transaction: Transaction): (handled: Observable<unknown>) => Observable<unknown> {
    return catchError((error: unknown) =>
      from(this.ruleOut(transaction, error)).pipe(switchMap(() => throwError(() => error))),
    );
  }

  /**
   * The caller gets the error as well, and does not commit then: that the coordinator cannot be told is no
   * other error.
   */
  private async ruleOut(transaction: Transaction, error: unknown): Promise<void> {
    const reason = error instanceof Error ? error.message : 'a service that had joined failed';
    try {
      await transaction.setRollbackOnly(reason);
    } catch (problem) {
      const text = `${transaction.id} could not be marked rollback-only: ${oneLine(messageOf(problem))}`;
      this.logger.warn(
        new LogLine(text, { transactionId: transaction.id, ...originOf(activeTrace() ?? {}) }),
      );
    }
  }
}

/** The options of `@JoinsTransactions`. @publicApi */
export interface JoinsTransactionsOptions {
  /**
   * Whether a request that carries no transaction is refused, with 400 and `DTC_TRANSACTION_NEEDED`.
   *
   * @default false
   */
  readonly required?: boolean;
}

/**
 * Lets the handlers of a controller, or one handler, join the transaction that a request carries: there
 * `TransactionManager.current()` is that transaction, and `enlist` adds a branch to it. A request that
 * carries one is refused without the credential of a service that the option `carriers` names. A request that
 * carries none is handled without, unless `required` is set. An error of the handler rules the commit out.
 * The decorator of a handler counts before that of its controller.
 *
 * @publicApi
 */
export function JoinsTransactions({ required = false }: JoinsTransactionsOptions = {}): ClassDecorator &
  MethodDecorator {
  return applyDecorators(
    SetMetadata(IS_NEEDED, required),
    UseGuards(CarriedTransactionGuard),
    UseInterceptors(CarriedTransactionInterceptor),
  );
}

function sentIn(context: ExecutionContext): Sent {
  if (context.getType() === 'http') {
    const request = context.switchToHttp().getRequest<{ headers: Record<string, unknown> } & Carrying>();
    const { headers } = request;
    return { id: headers[TRANSACTION_HEADER], credential: headers[CARRIER_HEADER], place: request };
  }
  const message = messageIn(context);
  return {
    id: message?.[TRANSACTION_HEADER],
    credential: message?.[CARRIER_HEADER],
    place: placeIn(context),
  };
}

function placeIn(context: ExecutionContext): Carrying {
  // Nest hands the same list of arguments to guards and interceptors of one call, and to no other.
  return context.getType() === 'http'
    ? context.switchToHttp().getRequest<Carrying>()
    : (context.getArgs() as Carrying);
}

function messageIn(context: ExecutionContext): Record<string, unknown> | undefined {
  const [data] = context.getArgs<unknown[]>();
  return typeof data === 'object' && data !== null && Object.hasOwn(data, TRANSACTION_HEADER)
    ? (data as Record<string, unknown>)
    : undefined;
}

/** The handler of a message gets the data alone. */
function unwrap(context: ExecutionContext): void {
  if (context.getType() === 'http') return;
  const args = context.getArgs<unknown[]>();
  args[0] = messageIn(context)?.['data'];
}

/** All tokens are compared, also after a match, so that the time does not reveal which one it was. */
function isKnown(credential: unknown, carriers: readonly CarrierCredential[]): boolean {
  const token = typeof credential === 'string' ? BEARER.exec(credential)?.[1] : undefined;
  if (token === undefined) return false;
  const given = digestOf(token);
  let isFound = false;
  for (const known of carriers.flatMap((carrier) => tokensFrom(carrier.token))) {
    if (timingSafeEqual(digestOf(known), given)) isFound = true;
  }
  return isFound;
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
