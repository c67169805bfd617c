import { inspect } from 'node:util';
import { oneLine } from './texts.js';

/**
 * One line of the log: a message and its fields, as the only argument of a call of Nest's logger.
 *
 * Loggers differ in what they do with an object. nestjs-pino and JSON loggers take the fields. ConsoleLogger
 * prints one plain object over many lines, so it is given a text of one line instead. Loggers that make a
 * text of their argument get the same text.
 */
export class LogLine {
  /** The name that pino gives to its message. */
  readonly msg: string;

  /** @param fields become fields of the line; none is called `msg`. */
  constructor(message: string, fields: object) {
    this.msg = message;
    Object.assign(this, fields);
  }

  /** Loggers of winston read their message here. It is no field of its own. */
  get message(): string {
    return this.msg;
  }

  toString(): string {
    const { msg, ...fields } = this;
    return oneLine(`${msg} ${inspect(fields, { compact: true, breakLength: Infinity })}`);
  }

  [inspect.custom](): string {
    return this.toString();
  }
}
