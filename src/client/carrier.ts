import { CARRIER_HEADER, TRANSACTION_HEADER } from '../server/wire/index.js';
import { type CarryOptions, checkCarry, tokenFrom } from './client.options.js';

/**
 * A manager that knows the transaction of the calling code: the TransactionManager of `nestjs-dtc`, or that
 * of `nestjs-dtc/client`.
 *
 * @publicApi
 */
export interface CurrentTransaction {
  current(): { readonly id: string } | undefined;
}

/**
 * The part of an instance of axios that is used, such as `HttpService.axiosRef`. Its requests are of the type
 * of its version.
 *
 * @publicApi
 */
export interface AxiosLike {
  readonly interceptors: {
    readonly request: {
      // oxlint-disable-next-line typescript/no-explicit-any -- as axios has it
      use(interceptor: (request: any) => any): unknown;
    };
  };
  // oxlint-disable-next-line typescript/no-explicit-any -- as axios has it
  getUri(request: any): string;
}

/** The part of a request of axios that is used. @publicApi */
export interface AxiosRequestLike {
  readonly headers: { set(name: string, value: string): unknown };
  // oxlint-disable-next-line typescript/no-explicit-any -- the fields of axios, which are of no interest here
  readonly [field: string]: any;
}

/** The part of a ClientProxy of `@nestjs/microservices` that is used. @publicApi */
export interface ClientProxyLike {
  // oxlint-disable-next-line typescript/no-explicit-any -- as ClientProxy has it
  send(pattern: any, data: any): any;
  // oxlint-disable-next-line typescript/no-explicit-any -- as ClientProxy has it
  emit(pattern: any, data: any): any;
}

/** A message that carries a transaction to a handler with `@JoinsTransactions`. @publicApi */
export interface CarriedMessage {
  readonly [TRANSACTION_HEADER]: string;
  readonly [CARRIER_HEADER]: string;
  readonly data: unknown;
}

/**
 * Carries the transaction of the calling code with requests to other services. The header and the token go
 * only to the origins that are named. Outside a transaction a request is sent as it is.
 *
 * @publicApi
 */
export class TransactionCarrier {
  private readonly token: () => string;
  private readonly origins: ReadonlySet<string>;

  /**
   * @param transactions knows the transaction of the calling code.
   * @param options to whom it is carried, and with which credential.
   * @throws InvalidOptionsError
   */
  constructor(
    private readonly transactions: CurrentTransaction,
    options: CarryOptions,
  ) {
    checkCarry(options);
    this.token = tokenFrom(options.token);
    this.origins = new Set(options.origins);
  }

  /**
   * @param url of the request.
   * @returns the headers that carry the transaction; none outside a transaction, and none for another origin.
   */
  headers(url: string | URL): Readonly<Record<string, string>> {
    const transaction = this.transactions.current();
    if (transaction === undefined || !URL.canParse(String(url))) return {};
    if (!this.origins.has(new URL(url).origin)) return {};
    return this.credentials(transaction.id);
  }

  /**
   * As the global `fetch`. Where it carries a transaction, it follows no redirect: the token is for the named
   * origins only.
   */
  readonly fetch = (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const url = input instanceof Request ? input.url : input;
    const carried = this.headers(url);
    if (Object.keys(carried).length === 0) return globalThis.fetch(input, init);
    const headers = new Headers(init.headers ?? (input instanceof Request ? input.headers : undefined));
    for (const [name, value] of Object.entries(carried)) headers.set(name, value);
    return globalThis.fetch(input, { ...init, headers, redirect: 'error' });
  };

  /**
   * Carries the transaction with all requests of an instance of axios:
   * `carrier.attach(httpService.axiosRef)`. Such a request follows no redirect.
   */
  attach(axios: AxiosLike): void {
    axios.interceptors.request.use((request: AxiosRequestLike) => {
      const carried = Object.entries(this.headers(absolute(axios.getUri(request), request)));
      for (const [name, value] of carried) request.headers.set(name, value);
      return carried.length > 0 ? Object.assign(request, { maxRedirects: 0 }) : request;
    });
  }

  /**
   * @returns a client whose messages carry the transaction. All of its messages go to services that know the
   * token.
   */
  client<C extends ClientProxyLike>(client: C): C {
    const wrap = (data: unknown): unknown => this.message(data);
    return new Proxy(client, {
      get(target, property) {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== 'function') return value;
        if (property !== 'send' && property !== 'emit') return value.bind(target) as unknown;
        return (pattern: unknown, data: unknown): unknown =>
          value.call(target, pattern, wrap(data)) as unknown;
      },
    });
  }

  /** @returns the value to send instead of `data`; outside a transaction `data` itself. */
  message<T>(data: T): T | CarriedMessage {
    const transaction = this.transactions.current();
    return transaction === undefined ? data : { ...this.credentials(transaction.id), data };
  }

  private credentials(id: string): Omit<CarriedMessage, 'data'> & Readonly<Record<string, string>> {
    return { [TRANSACTION_HEADER]: id, [CARRIER_HEADER]: `Bearer ${this.token()}` };
  }
}

/** Axios says where it sends a request relative to the base of the instance. */
function absolute(uri: string, request: AxiosRequestLike): string {
  const base: unknown = request['baseURL'];
  if (URL.canParse(uri) || typeof base !== 'string' || !URL.canParse(uri, base)) return uri;
  return new URL(uri, base).href;
}
