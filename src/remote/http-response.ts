/** The largest head of a response, in bytes, as that of `node:http`. */
const MAX_HEAD_BYTES = 16 * 1024;
/** The most interim responses before one response. */
const MAX_INTERIM = 16;
/** The longest line with the size of a chunk, in bytes. */
const MAX_SIZE_LINE_BYTES = 256;
/** A server may close an idle connection this much before the time that it has told, in milliseconds. */
const CLOSES_EARLIER_MS = 1_000;

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t -~\x80-\xff]*)?$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)$/;
const LENGTH = /^\d{1,15}$/;
const SIZE = /^([0-9A-Fa-f]{1,8})[\t ]*(?:;[\t -~\x80-\xff]*)?$/;
const CLOSE = /(?:^|,)[\t ]*close[\t ]*(?:,|$)/i;
const KEPT_FOR = /(?:^|[,\t ])timeout=(\d{1,6})/i;
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const END_OF_LINE = Buffer.from('\r\n');

/** What is taken from the head of a response. */
export interface ResponseHead {
  readonly status: number;
  readonly contentType: string | undefined;
}

/** Takes one response. What it throws ends the connection. */
export interface ResponseTaker {
  head(head: ResponseHead): void;
  /** @param piece a part of the body. Its memory is used again after the call. */
  body(piece: Buffer): void;
}

/** What was read is no response of HTTP/1.1, or one that could be read in two ways: the connection is not used any more. */
class NotHttpError extends Error {
  constructor(problem: string) {
    super(`the answer is no response of HTTP/1.1 that can be read: ${problem}`);
  }
}

/** Where a body ends. */
type Framing = 'none' | 'length' | 'chunked' | 'close';

/** Where in a response the next byte is. */
type Place = 'head' | 'length' | 'size' | 'chunk' | 'chunk-end' | 'trailer' | 'close' | 'done';

interface Fields {
  contentLength: string | undefined;
  transferEncoding: string | undefined;
  connection: string | undefined;
  keepAlive: string | undefined;
  contentType: string | undefined;
}

/**
 * Reads the responses of HTTP/1.1 that come on one connection, one after the other. It is strict: what a proxy and this
 * process could read in two ways is refused.
 */
export class ResponseReader {
  private taker: ResponseTaker | undefined;
  private place: Place = 'done';
  /** The beginning of a head or of a line whose end has not come. */
  private begun: Buffer | undefined;
  /** The bytes that are left of the body, or of a chunk. */
  private left = 0;
  private interim = 0;
  private trailerBytes = 0;
  private keptForMs = Infinity;

  /** Whether a response has come to its end. */
  get isDone(): boolean {
    return this.place === 'done';
  }

  /** Whether the head of a response has come, and its end has not. */
  get isUnderWay(): boolean {
    return this.place !== 'head' && this.place !== 'done';
  }

  /** How long the connection may be idle before it is used again, in milliseconds, as the server says; 0 for not at all. */
  get idleMs(): number {
    return this.keptForMs;
  }

  /** Expects a response. */
  begin(taker: ResponseTaker): void {
    this.taker = taker;
    this.place = 'head';
    this.interim = 0;
    this.trailerBytes = 0;
    this.keptForMs = Infinity;
  }

  /**
   * Reads what has come.
   *
   * @throws an error when it is no response, when there is more than one response, and what the taker throws.
   */
  read(bytes: Buffer): void {
    let rest = this.begun === undefined ? bytes : Buffer.concat([this.begun, bytes]);
    this.begun = undefined;
    while (rest.length > 0) {
      const used = this.step(rest);
      if (used === 0) {
        this.begun = Buffer.from(rest);
        return;
      }
      rest = rest.subarray(used);
    }
  }

  /** The connection has ended. @returns whether that is the end of the response. */
  end(): boolean {
    if (this.place !== 'close') return this.place === 'done';
    this.finish();
    return true;
  }

  /** @returns how many bytes were read; 0 when the rest of a line is needed. */
  private step(bytes: Buffer): number {
    switch (this.place) {
      case 'head':
        return this.readHead(bytes);
      case 'length':
      case 'chunk':
        return this.readBody(bytes);
      case 'close':
        this.taker!.body(bytes);
        return bytes.length;
      case 'size':
        return this.readSize(bytes);
      case 'chunk-end':
        return this.readChunkEnd(bytes);
      case 'trailer':
        return this.readTrailer(bytes);
      case 'done':
        throw new NotHttpError('it goes on after its end');
    }
  }

  private readHead(bytes: Buffer): number {
    const end = bytes.indexOf(END_OF_HEAD);
    if (end === -1 ? bytes.length > MAX_HEAD_BYTES : end > MAX_HEAD_BYTES)
      throw new NotHttpError(`its head has more than ${MAX_HEAD_BYTES} bytes`);
    if (end === -1) return 0;
    const lines = bytes.toString('latin1', 0, end).split('\r\n');
    const [, minor, code] = STATUS_LINE.exec(lines[0]!) ?? [];
    if (code === undefined) throw new NotHttpError('it has no status');
    const fields = fieldsIn(lines);
    const status = Number(code);
    if (status === 101) throw new NotHttpError('it switches to another protocol');
    if (status < 200) {
      if (++this.interim > MAX_INTERIM)
        throw new NotHttpError(`it has more than ${MAX_INTERIM} interim responses`);
      return end + END_OF_HEAD.length;
    }
    const framing = this.framingOf(status, fields);
    this.keptForMs = minor === '0' || framing === 'close' ? 0 : keptForMs(fields);
    this.taker!.head({ status, contentType: fields.contentType });
    this.beginBody(framing);
    return end + END_OF_HEAD.length;
  }

  private framingOf(status: number, { contentLength, transferEncoding }: Fields): Framing {
    if (transferEncoding !== undefined) {
      if (contentLength !== undefined) throw new NotHttpError('it says in two ways where it ends');
      if (transferEncoding.toLowerCase() !== 'chunked')
        throw new NotHttpError('it has an unknown transfer encoding');
      return 'chunked';
    }
    if (contentLength !== undefined && !LENGTH.test(contentLength))
      throw new NotHttpError('its length is no number');
    if (status === 204 || status === 304) return 'none';
    if (contentLength === undefined) return 'close';
    this.left = Number(contentLength);
    return 'length';
  }

  private beginBody(framing: Framing): void {
    if (framing === 'none' || (framing === 'length' && this.left === 0)) this.finish();
    else this.place = framing === 'chunked' ? 'size' : framing;
  }

  private readBody(bytes: Buffer): number {
    const used = Math.min(bytes.length, this.left);
    this.taker!.body(used === bytes.length ? bytes : bytes.subarray(0, used));
    this.left -= used;
    if (this.left > 0) return used;
    if (this.place === 'chunk') this.place = 'chunk-end';
    else this.finish();
    return used;
  }

  private readSize(bytes: Buffer): number {
    const line = lineIn(bytes, MAX_SIZE_LINE_BYTES);
    if (line === undefined) return 0;
    const size = SIZE.exec(line)?.[1];
    if (size === undefined) throw new NotHttpError('a chunk of it has no size');
    this.left = Number.parseInt(size, 16);
    this.place = this.left === 0 ? 'trailer' : 'chunk';
    return line.length + END_OF_LINE.length;
  }

  private readChunkEnd(bytes: Buffer): number {
    if (bytes.length < END_OF_LINE.length) return 0;
    if (bytes[0] !== END_OF_LINE[0] || bytes[1] !== END_OF_LINE[1])
      throw new NotHttpError('a chunk of it is longer than its size');
    this.place = 'size';
    return END_OF_LINE.length;
  }

  private readTrailer(bytes: Buffer): number {
    const line = lineIn(bytes, MAX_HEAD_BYTES - this.trailerBytes);
    if (line === undefined) return 0;
    if (line === '') this.finish();
    else if (!FIELD.test(line)) throw new NotHttpError('a field after its body cannot be read');
    this.trailerBytes += line.length;
    return line.length + END_OF_LINE.length;
  }

  private finish(): void {
    this.place = 'done';
    this.taker = undefined;
  }
}

/** @param lines of a head, after that of the status. */
function fieldsIn(lines: readonly string[]): Fields {
  const fields: Fields = {
    contentLength: undefined,
    transferEncoding: undefined,
    connection: undefined,
    keepAlive: undefined,
    contentType: undefined,
  };
  for (let index = 1; index < lines.length; index++) {
    const [, name, value] = FIELD.exec(lines[index]!) ?? [];
    if (name === undefined) throw new NotHttpError('a field of its head cannot be read');
    put(fields, name.toLowerCase(), trimmed(value!));
  }
  return fields;
}

function put(fields: Fields, name: string, value: string): void {
  switch (name) {
    case 'content-length':
      if (fields.contentLength !== undefined) throw new NotHttpError('it has two lengths');
      fields.contentLength = value;
      return;
    case 'transfer-encoding':
      // Several encodings are unknown ones.
      fields.transferEncoding = joined(fields.transferEncoding, value);
      return;
    case 'connection':
      fields.connection = joined(fields.connection, value);
      return;
    case 'keep-alive':
      fields.keepAlive = value;
      return;
    case 'content-type':
      fields.contentType ??= value;
  }
}

/** @returns the value without the spaces and tabs around it. Other blanks belong to it. */
function trimmed(value: string): string {
  let [from, to] = [0, value.length];
  while (from < to && isBlank(value, from)) from++;
  while (to > from && isBlank(value, to - 1)) to--;
  return value.slice(from, to);
}

function isBlank(value: string, index: number): boolean {
  const character = value[index];
  return character === ' ' || character === '\t';
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before},${value}`;
}

function keptForMs({ connection, keepAlive }: Fields): number {
  if (connection !== undefined && CLOSE.test(connection)) return 0;
  const seconds = keepAlive === undefined ? undefined : KEPT_FOR.exec(keepAlive)?.[1];
  return seconds === undefined ? Infinity : Math.max(0, Number(seconds) * 1_000 - CLOSES_EARLIER_MS);
}

/** @returns the line without its end; undefined while its end has not come. @throws when it is too long. */
function lineIn(bytes: Buffer, maxBytes: number): string | undefined {
  const end = bytes.indexOf(END_OF_LINE);
  if (end === -1 ? bytes.length > maxBytes : end > maxBytes)
    throw new NotHttpError('a line of its body is too long');
  return end === -1 ? undefined : bytes.toString('latin1', 0, end);
}
