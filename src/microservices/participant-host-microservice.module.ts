import { type DynamicModule, Module } from '@nestjs/common';
import { InvalidOptionsError } from '../coordinator/errors.js';
import { DEFAULT_PATTERN, problemOfPattern } from './frames.js';
import { HOST_MESSAGE_OPTIONS, type HostMessageOptions, messagesAt } from './host-messages.js';

const SUBJECT = 'ParticipantHostMicroserviceModule';
const KNOWN = ['pattern', 'maxMessageBytes'];

/** The options of {@link ParticipantHostMicroserviceModule}. @publicApi */
export interface ParticipantHostMicroserviceOptions {
  /**
   * The name of the messages, and of the queue group of NATS that the replicas share. Services that share a
   * broker of NATS or Redis need a name each. gRPC has none.
   *
   * @default 'dtc.calls'
   */
  readonly pattern?: string | undefined;
  /** The largest message, in bytes. @default 1_048_576 */
  readonly maxMessageBytes?: number | undefined;
}

/**
 * Serves the participants of a host over the microservices of the application, beside HTTP. Import it once,
 * together with `ParticipantHostModule`, and connect a microservice: `app.connectMicroservice({ transport:
 * Transport.NATS })`.
 *
 * @publicApi
 */
@Module({})
export class ParticipantHostMicroserviceModule {
  /** @throws InvalidOptionsError when an option is impossible. */
  static forRoot(options: ParticipantHostMicroserviceOptions = {}): DynamicModule {
    const { pattern = DEFAULT_PATTERN, maxMessageBytes = 1_048_576, ...unknown } = options;
    const problems = Object.keys(unknown).map(
      (name) => `${name}: is not an option, which are ${KNOWN.join(', ')}`,
    );
    const problem = problemOfPattern(pattern);
    if (problem !== undefined) problems.push(problem);
    if (!Number.isInteger(maxMessageBytes) || maxMessageBytes < 1)
      problems.push('maxMessageBytes: must be a whole number from 1');
    if (problems.length > 0) throw new InvalidOptionsError(SUBJECT, problems);
    const messages: HostMessageOptions = { maxMessageBytes };
    return {
      module: ParticipantHostMicroserviceModule,
      controllers: [messagesAt(pattern)],
      providers: [{ provide: HOST_MESSAGE_OPTIONS, useValue: messages }],
    };
  }
}
