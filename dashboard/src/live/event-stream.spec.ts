import { describe, expect, it } from 'vitest';
import { type StreamMessage, messagesOf } from './event-stream.js';

async function read(...chunks: string[]): Promise<StreamMessage[]> {
  const messages: StreamMessage[] = [];
  const bytes = new TextEncoder();
  const body = streamOf(chunks.map((chunk) => bytes.encode(chunk)));
  for await (const message of messagesOf(body)) messages.push(message);
  return messages;
}

function streamOf(chunks: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

describe('a stream of events', () => {
  it('is parsed wherever it was cut', async () => {
    const text = 'event: overview\ndata: {"a":1}\n\n: heartbeat\n\ndata: two\ndata:lines\n\n';
    const expected = [
      { event: 'overview', data: '{"a":1}' },
      { event: 'message', data: 'two\nlines' },
    ];
    expect(await read(text)).toEqual(expected);
    expect(await read(...Array.from(text))).toEqual(expected);
  });

  it('accepts each line end of the standard', async () => {
    expect(await read('event: a\r\ndata: 1\r\n\r\n')).toEqual([{ event: 'a', data: '1' }]);
    expect(await read('event: a\rdata: 1\r\r')).toEqual([{ event: 'a', data: '1' }]);
  });

  it('drops a message that the end has cut off', async () => {
    expect(await read('data: 1\n\n', 'data: 2\n')).toEqual([{ event: 'message', data: '1' }]);
  });

  it('joins the bytes of a letter', async () => {
    const bytes = new TextEncoder().encode('data: ä\n\n');
    const messages: StreamMessage[] = [];
    const body = streamOf([bytes.slice(0, 7), bytes.slice(7)]);
    for await (const message of messagesOf(body)) messages.push(message);
    expect(messages).toEqual([{ event: 'message', data: 'ä' }]);
  });
});
