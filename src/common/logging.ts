import type { IncomingMessage } from 'node:http';
import type { Params } from 'nestjs-pino';
import type { DestinationStream } from 'pino';

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** A level of the log, the least verbose first. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * The log format of the application: JSON lines. Requests are logged at debug, since a line for each costs
 * more than serving them; above debug no request passes through the logger at all. Neither bodies nor headers
 * are logged at any level. At debug all lines of a request have its id.
 *
 * @param destination receives the lines. @default standard output
 */
export function loggerParams(level: LogLevel, destination?: DestinationStream): Params {
  const logsRequests = level === 'debug' || level === 'trace';
  const options = {
    level,
    useLevel: 'debug' as const,
    quietReqLogger: true,
    customAttributeKeys: { reqId: 'requestId' },
    serializers: {
      req: ({ method, url }: IncomingMessage) => ({ method, url }),
      res: ({ statusCode }: { statusCode: number }) => ({ statusCode }),
    },
  };
  return {
    pinoHttp: destination === undefined ? options : [options, destination],
    forRoutes: logsRequests ? ['{*splat}'] : [],
  };
}
