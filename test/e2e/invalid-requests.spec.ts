import { STATUS_CODES } from 'node:http';
import type { Response } from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Holdings, TestApplication } from '../support/application.js';
import { everyStorage } from '../support/storages.js';

const storages = everyStorage();

const line = { sku: 'keyboard', quantity: 1 };
const longId = 'a'.repeat(65);
const manyItems = Array.from({ length: 51 }, (_, index) => ({ sku: `sku-${index}`, quantity: 1 }));

describe.each(storages)(
  'An invalid request changes nothing, $name, and is answered with a problem',
  (storage) => {
    let application: TestApplication;
    let before: Holdings;

    beforeAll(async () => {
      application = await TestApplication.startOn(storage);
      before = await application.holdings();
    });

    afterAll(() => application.close());

    /**
     * @returns the status and the code of an answer that is a problem in every respect, and changed nothing.
     */
    async function problemIn({ status, headers, body }: Response): Promise<[number, string]> {
      expect(await application.holdings()).toEqual(before);
      expect((await application.get('/transactions')).body).toMatchObject({
        transactions: [],
        nextCursor: null,
      });
      expect(headers['content-type']).toBe('application/problem+json; charset=utf-8');
      expect(body).toMatchObject({ type: 'about:blank', title: STATUS_CODES[status], status });
      expect(body.detail).not.toBe('');
      return [status, body.code];
    }

    it.each([
      ['nothing at all', undefined],
      ['no object', [1]],
      ['no customer', { items: [line] }],
      ['no items', { customerId: 'alice' }],
      ['an empty list of items', { customerId: 'alice', items: [] }],
      ['51 items', { customerId: 'alice', items: manyItems }],
      ['a sku twice', { customerId: 'alice', items: [line, line] }],
      ['a field that is not known', { customerId: 'alice', items: [line], coupon: 'x' }],
      ['a field that is not known in an item', { customerId: 'alice', items: [{ ...line, price: 1 }] }],
      ['a quantity of 0', { customerId: 'alice', items: [{ ...line, quantity: 0 }] }],
      ['a negative quantity', { customerId: 'alice', items: [{ ...line, quantity: -1 }] }],
      ['a quantity of 1,001', { customerId: 'alice', items: [{ ...line, quantity: 1_001 }] }],
      ['half a piece', { customerId: 'alice', items: [{ ...line, quantity: 0.5 }] }],
      ['a quantity that is text', { customerId: 'alice', items: [{ ...line, quantity: '1' }] }],
      ['an empty sku', { customerId: 'alice', items: [{ ...line, sku: '' }] }],
      ['a sku of 65 characters', { customerId: 'alice', items: [{ ...line, sku: longId }] }],
      ['a sku that is a path', { customerId: 'alice', items: [{ ...line, sku: '../keyboard' }] }],
      ['a customer of 65 characters', { customerId: longId, items: [line] }],
      ['a customer with a space', { customerId: 'al ice', items: [line] }],
      ['a customer with a line break', { customerId: 'alice\n', items: [line] }],
    ])('%s', async (_, body) => {
      expect(await problemIn(await application.http.post('/orders').send(body))).toEqual([
        400,
        'DTC_BAD_REQUEST',
      ]);
    });

    it('a body that is not JSON', async () => {
      const answer = await application.http.post('/orders').type('json').send('{"customerId":');
      expect(await problemIn(answer)).toEqual([400, 'DTC_BAD_REQUEST']);
    });

    it.each(['text/plain', 'application/x-www-form-urlencoded', 'application/xml'])(
      'a body of type %s',
      async (type) => {
        const answer = await application.http.post('/orders').type(type).send('customerId=alice');
        expect(await problemIn(answer)).toEqual([415, 'DTC_UNSUPPORTED_MEDIA_TYPE']);
      },
    );

    it('a body of more than 16 KiB', async () => {
      const body = JSON.stringify({ customerId: 'alice', items: [line] }).padEnd(16 * 1024 + 1);
      const answer = await application.http.post('/orders').type('json').send(body);
      expect(await problemIn(answer)).toEqual([413, 'DTC_BODY_TOO_LARGE']);
    });

    it.each([
      ['is empty', ''],
      ['has a space', 'a b'],
      ['is not ASCII', 'ä'],
      ['has 256 characters', 'k'.repeat(256)],
    ])('an Idempotency-Key that %s', async (_, key) => {
      expect(await problemIn(await application.order('alice', { keyboard: 1 }, key))).toEqual([
        400,
        'DTC_BAD_REQUEST',
      ]);
    });

    it('a malformed URL', async () => {
      expect(await problemIn(await application.get('/orders/%E0%A4%A'))).toEqual([400, 'DTC_BAD_REQUEST']);
    });

    it('an id that is much too long', async () => {
      expect(await problemIn(await application.get(`/orders/${'a'.repeat(500)}`))).toEqual([
        414,
        'DTC_URL_TOO_LONG',
      ]);
    });

    it.each([
      ['GET', '/nowhere'],
      ['DELETE', '/orders'],
    ] as const)('%s %s, which is no route', async (method, path) => {
      const { http } = application;
      const answer = await (method === 'GET' ? http.get(path) : http.delete(path));
      expect(await problemIn(answer)).toEqual([404, 'DTC_NOT_FOUND']);
    });

    it.each(['limit=0', 'limit=1001', 'limit=x', 'state=LOST', 'stalled=maybe', 'colour=red'])(
      'a listing with %s',
      async (query) => {
        expect(await problemIn(await application.get(`/transactions?${query}`))).toEqual([
          400,
          'DTC_BAD_REQUEST',
        ]);
      },
    );

    it('a body of exactly 16 KiB is taken', async () => {
      const body = JSON.stringify({ customerId: 'alice', items: [{ ...line, sku: 'x' }] }).padEnd(16 * 1024);
      const answer = await application.http.post('/orders').type('json').send(body);
      expect(await problemIn(answer)).toEqual([422, 'DTC_UNPROCESSABLE']);
    });
  },
);
