import type { IncomingMessage } from 'node:http';
import type { Params } from 'nestjs-pino';
import type { DestinationStream } from 'pino';

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** A level of the log, the least talkative first. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * How the application logs: JSON lines. Requests are logged at debug, for a line each costs more than serving them;
 * above debug no request passes through the logger at all. Neither bodies nor headers are logged at any level.
 *
 * @param destination where lines go. @default standard output
 */
export function loggerParams(level: LogLevel, destination?: DestinationStream): Params {
  const logsRequests = level === 'debug' || level === 'trace';
  const options = {
    level,
    useLevel: 'debug' as const,
    quietReqLogger: true,
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
