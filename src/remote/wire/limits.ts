/**
 * The version of the messages. A host or a coordinator that does not know the version refuses the message.
 */
export const WIRE_VERSION = 1;

/**
 * The largest message, in bytes of JSON. The parsers of Express (100 kB) and of Fastify (1 MiB) accept it
 * without an option.
 */
export const MAX_MESSAGE_BYTES = 96 * 1024;

/** The default for the largest payload of one branch, in bytes of JSON. */
export const MAX_PAYLOAD_BYTES = 64 * 1024;

/** The most calls in one message. */
export const MAX_CALLS = 256;

/** The longest line of an answer, in bytes. A list of branches takes several lines. */
export const MAX_ANSWER_BYTES = 256 * 1024;

/** The most branches in one answer to `recover`. The next call continues after the last of them. */
export const MAX_LISTED = 500;

/** The most questions and answers about earlier runs in one claim. */
export const MAX_QUESTIONS = 16;

/** The most low-water marks in one call. */
export const MAX_MARKS = 64;

/** The deepest nesting of a payload. */
export const MAX_DEPTH = 64;
