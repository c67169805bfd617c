import { createHash, timingSafeEqual } from 'node:crypto';
import {
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  Inject,
  Injectable,
  Logger,
  type NestInterceptor,
  UseGuards,
  UseInterceptors,
  applyDecorators,
} from '@nestjs/common';
import { Observable, catchError, from, switchMap, throwError } from 'rxjs';
import { messageOf, oneLine } from '../coordinator/gate/texts.js';
import { CARRIER_HEADER, TRANSACTION_HEADER, TRANSACTION_ID_PATTERN } from '../server/wire/index.js';
import { CarriedTransactionError, CarrierRefusedError } from './errors.js';
import { type CarrierCredential, type ResolvedClientOptions, tokensFrom } from './client.options.js';
import type { Transaction } from './transaction.js';
import { CLIENT_OPTIONS, TransactionManager } from './transaction-manager.js';

const TRANSACTION_ID = new RegExp(TRANSACTION_ID_PATTERN);
const BEARER = /^Bearer +([!-~]{1,512})$/i;
const CARRIED = Symbol('carried transaction');

/** Where what was carried stands between the guard and the interceptor. */
interface Carrying {
  [CARRIED]?: Transaction;
}

/** What another process has sent. Nothing of it is believed yet. */
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
  ) {}

  canActivate(context: ExecutionContext): boolean {
    const { id, credential, place } = sentIn(context);
    if (id === undefined) return true;
    if (!isKnown(credential, this.options.carriers())) throw new CarrierRefusedError();
    if (typeof id !== 'string' || !TRANSACTION_ID.test(id)) throw new CarriedTransactionError();
    place[CARRIED] = this.transactions.join(id);
    unwrap(context);
    return true;
  }
}

/** Runs the handler in the carried transaction. An error of the handler rules its commit out. */
@Injectable()
export class CarriedTransactionInterceptor implements NestInterceptor {
  private readonly logger = new Logger('TransactionClientModule');

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

  /** The caller gets the error as well, and does not commit then: that the coordinator cannot be told is no other error. */
  private async ruleOut(transaction: Transaction, error: unknown): Promise<void> {
    const reason = error instanceof Error ? error.message : 'a service that had joined failed';
    try {
      await transaction.setRollbackOnly(reason);
    } catch (problem) {
      this.logger.warn(`${transaction.id} could not be marked rollback-only: ${oneLine(messageOf(problem))}`);
    }
  }
}

/**
 * Lets the handlers of a controller, or one handler, join the transaction that a request carries: there
 * `TransactionManager.current()` is that transaction, and `enlist` adds a branch to it. A request that carries one is refused without
 * the credential of a service that the option `carriers` names. A request that carries none is handled without. An error of the
 * handler rules the commit out.
 *
 * @publicApi
 */
export function JoinsTransactions(): ClassDecorator & MethodDecorator {
  return applyDecorators(UseGuards(CarriedTransactionGuard), UseInterceptors(CarriedTransactionInterceptor));
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
