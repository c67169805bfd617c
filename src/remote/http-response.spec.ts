import { describe, expect, it } from 'vitest';
import { type ResponseHead, ResponseReader } from './http-response.js';

interface Read {
  readonly head: ResponseHead | undefined;
  readonly body: string;
  readonly isDone: boolean;
  readonly idleMs: number;
}

/** Reads a response that comes in pieces of this size. @param ends whether the connection ends then. */
function readIn(text: string, size: number, ends = false): Read {
  const bytes = Buffer.from(text, 'latin1');
  const reader = new ResponseReader();
  const read = { head: undefined as ResponseHead | undefined, body: '' };
  reader.begin({
    head: (head) => (read.head = head),
    body: (piece) => (read.body += piece.toString('latin1')),
  });
  for (let from = 0; from < bytes.length; from += size) {
    // The memory of a piece is used again.
    const piece = Buffer.from(bytes.subarray(from, from + size));
    reader.read(piece);
    piece.fill(0);
  }
  if (ends) reader.end();
  return { ...read, isDone: reader.isDone, idleMs: reader.idleMs };
}

function response(fields: readonly string[], body = '', status = '200 OK'): string {
  return `${[`HTTP/1.1 ${status}`, ...fields].join('\r\n')}\r\n\r\n${body}`;
}

const LENGTH = 'Content-Length: 5';
const CHUNKED = 'Transfer-Encoding: chunked';

describe('A response', () => {
  it.each<[string, string]>([
    ['with a length', response(['Content-Type: a/b', LENGTH], 'hello')],
    ['with blanks around its values', response(['content-type:\t a/b \t', 'CONTENT-LENGTH:5'], 'hello')],
    ['in chunks', response(['Content-Type: a/b', CHUNKED], '2\r\nhe\r\n03\r\nllo\r\n0\r\n\r\n')],
    [
      'in chunks with extensions and trailers',
      response(
        ['Content-Type: a/b', 'transfer-encoding: Chunked'],
        '5 ;a="b"\r\nhello\r\n0;x\r\nA: b\r\nC:\r\n\r\n',
      ),
    ],
    [
      'after interim ones',
      `${response(['Link: x'], '', '103 Early Hints')}${response([], '', '100 Continue')}${response(['Content-Type: a/b', LENGTH], 'hello')}`,
    ],
    ['whose chunk looks like an end', response(['Content-Type: a/b', CHUNKED], '5\r\nhello\r\n0\r\n\r\n')],
  ])('%s is read however it arrives', (_name, text) => {
    const whole = readIn(text, text.length);
    expect(whole).toEqual({
      head: { status: 200, contentType: 'a/b' },
      body: 'hello',
      isDone: true,
      idleMs: Infinity,
    });
    for (let size = 1; size < text.length; size++) expect(readIn(text, size)).toEqual(whole);
    // It is not complete before its last byte.
    expect(readIn(text.slice(0, -1), text.length, true).isDone).toBe(false);
  });

  it('without a length ends with its connection, which carries nothing more', () => {
    const text = response([], 'hello');
    expect(readIn(text, text.length).isDone).toBe(false);
    expect(readIn(text, 3, true)).toMatchObject({ body: 'hello', isDone: true, idleMs: 0 });
  });

  it.each(['204 No Content', '304 Not Modified'])('%s has no body', (status) => {
    expect(readIn(response(['Content-Length: 7'], '', status), 5)).toMatchObject({ body: '', isDone: true });
  });

  it('may have an empty body, and a status without a text', () => {
    expect(readIn(response(['Content-Length: 0'], '', '200 '), 9).isDone).toBe(true);
    expect(readIn(response(['Content-Length: 0'], '', '999'), 9)).toMatchObject({
      head: { status: 999 },
      isDone: true,
    });
  });

  it.each<[string, string, number]>([
    ['nothing', '', Infinity],
    ['keep-alive', 'Connection: keep-alive\r\n', Infinity],
    ['close', 'Connection: close\r\n', 0],
    ['close among others', 'Connection: a, Close\r\n', 0],
    ['close in a second field', 'Connection: keep-alive\r\nConnection: close\r\n', 0],
    ['a field whose name is like close', 'Connection: closed, x-close\r\n', Infinity],
    ['a time', 'Connection: keep-alive\r\nKeep-Alive: max=3, timeout=5\r\n', 4_000],
    ['a time that is nearly over', 'Keep-Alive: timeout=1\r\n', 0],
  ])('tells by %s how long its connection may be used', (_name, field, idleMs) => {
    expect(readIn(`HTTP/1.1 200 OK\r\n${field}Content-Length: 0\r\n\r\n`, 100).idleMs).toBe(idleMs);
  });

  it('of HTTP/1.0 is the last one of its connection', () => {
    const text = response(['Connection: keep-alive', LENGTH], 'hello').replace('HTTP/1.1', 'HTTP/1.0');
    expect(readIn(text, 8)).toMatchObject({ body: 'hello', isDone: true, idleMs: 0 });
  });

  it('is not the one after it', () => {
    const reader = new ResponseReader();
    const bodies: string[] = [];
    reader.begin({ head: () => {}, body: (piece) => bodies.push(piece.toString()) });
    const text = response([LENGTH], 'hello');
    expect(() => reader.read(Buffer.from(`${text}${text}`))).toThrow('it goes on after its end');
    expect(reader.isDone).toBe(true);
    expect(bodies).toEqual(['hello']);
    expect(() => reader.read(Buffer.from('H'))).toThrow('it goes on after its end');
  });
});

describe('What is no response', () => {
  it.each<[string, string]>([
    ['another protocol', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['another version', 'HTTP/2.0 200 OK\r\n\r\n'],
    ['no status', 'HTTP/1.1 OK\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 99 x\r\n\r\n'],
    ['control characters in its status', 'HTTP/1.1 200 O\u0000K\r\n\r\n'],
    ['a change of the protocol', response(['Upgrade: x'], '', '101 Switching Protocols')],
    ['interim ones without an end', response([], '', '100 Continue').repeat(17)],
    ['a field without a name', response([': x'])],
    ['a field without a colon', response(['Content-Length 5'])],
    ['a blank after a name', response(['Content-Length : 5'])],
    ['a folded field', response(['A: b', ' Content-Length: 5'])],
    ['a line feed without a return', 'HTTP/1.1 200 OK\r\nA: b\nContent-Length: 5\r\n\r\nhello'],
    ['a return without a line feed', 'HTTP/1.1 200 OK\r\nA: b\rContent-Length: 5\r\n\r\nhello'],
    ['a zero in a value', response(['A: \u0000'])],
    ['two lengths', response([LENGTH, LENGTH], 'hello')],
    ['a list of lengths', response(['Content-Length: 5, 5'], 'hello')],
    ['a length with a sign', response(['Content-Length: +5'], 'hello')],
    ['a length with another blank', response(['Content-Length: 5\u00a0'], 'hello')],
    ['no length', response(['Content-Length:'], 'hello')],
    ['a length and chunks', response([LENGTH, CHUNKED], '5\r\nhello\r\n0\r\n\r\n')],
    ['another encoding', response(['Transfer-Encoding: gzip, chunked'], '5\r\nhello\r\n0\r\n\r\n')],
    ['chunks in two fields', response([CHUNKED, CHUNKED], '5\r\nhello\r\n0\r\n\r\n')],
    ['a chunk without a size', response([CHUNKED], 'zz\r\n')],
    ['a chunk with a sign', response([CHUNKED], '-5\r\nhello\r\n')],
    ['a chunk with a prefix', response([CHUNKED], '0x5\r\nhello\r\n')],
    ['a chunk of far too many bytes', response([CHUNKED], '100000005\r\nhello\r\n')],
    ['a chunk that is longer than its size', response([CHUNKED], '4\r\nhello\r\n0\r\n\r\n')],
    ['a size without an end', response([CHUNKED], `5;${'x'.repeat(300)}`)],
    ['a trailer that is no field', response([CHUNKED], '0\r\nx\r\n\r\n')],
    ['trailers without an end', response([CHUNKED], `0\r\n${'A: b\r\n'.repeat(5_000)}`)],
    ['a head without an end', response(Array.from({ length: 2_000 }, () => 'A: 0123456789'))],
    ['a field without an end', `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(17_000)}`],
    ['blanks without an end', response([`A:${' '.repeat(16_000)}\u0001`])],
  ])('is refused for %s', (_name, text) => {
    for (const size of [text.length, 1_000, 7])
      expect(() => readIn(text, size)).toThrow('the answer is no response of HTTP/1.1 that can be read');
  });
});
