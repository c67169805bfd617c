import type { Socket } from 'node:net';

import { ClientTCP, type TcpClientOptions } from '@nestjs/microservices';
import { SafeLogger } from '../coordinator/gate/safe-logger.js';
import { messageOf, oneLine } from '../coordinator/gate/texts.js';
import { MAX_ANSWER_BYTES } from '../remote/wire/index.js';

/**
 * The largest frame of a host, in characters: its answers are texts in JSON, in which each character may take
 * two.
 */
const MAX_FRAME = 2 * MAX_ANSWER_BYTES;
/** Room for the bytes that one read of a socket brings beyond a frame. */
const MAX_READ = 256 * 1024;
/** The most characters of a host that are held before they are read. Nest would hold 128 million. */
const DEFAULT_BUFFER = 4 * MAX_ANSWER_BYTES;
const MAX_BUFFER = 16 * 1024 * 1024;

/** @returns the problem with the option `maxBufferSize` of a client, if there is one. */
export function problemOfBuffer({
  maxBufferSize: size,
}: NonNullable<TcpClientOptions['options']>): string | undefined {
  const least = MAX_FRAME + MAX_READ;
  if (size === undefined || (Number.isInteger(size) && size >= least && size <= MAX_BUFFER)) return undefined;
  return `client.options.maxBufferSize: must be a whole number from ${least} to ${MAX_BUFFER}, in characters`;
}

/** The client of one kind of call over TCP. */
export class CarefulClientTcp extends ClientTCP {
  private readonly log = new SafeLogger('TCP');

  constructor(options: NonNullable<TcpClientOptions['options']> = {}) {
    super({ maxBufferSize: DEFAULT_BUFFER, ...options });
  }

  /** The socket of the connection; undefined when there is none. */
  get connected(): Socket | undefined {
    return this.socket?.netSocket;
  }

  /** @param error a text for what has no form of Nest, with what the other side has sent. */
  override handleError(error: unknown): void {
    this.log.error(`A connection to a host has failed: ${oneLine(messageOf(error))}`);
    // Its other messages would wait: Nest ends the connection only if the other side does.
    if (typeof error === 'string') this.connected?.destroy();
  }
}
