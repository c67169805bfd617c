import {
  BadRequestException,
  ConflictException,
  GatewayTimeoutException,
  HttpException,
  InternalServerErrorException,
  NotFoundException,
  NotImplementedException,
  ServiceUnavailableException,
} from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { NotCommittedError, OverloadedError, ServerBusyError } from '../../coordinator/index.js';
import { ProblemException, problemOf } from './problem.js';

describe('An error is answered', () => {
  it('asks to wait for the time in the error, or for a second by default', () => {
    expect(problemOf(new ServerBusyError(['order'], 3, 2_400))).toMatchObject({
      status: 503,
      retryAfterSeconds: 3,
    });
    expect(problemOf(new OverloadedError(1))).toMatchObject({ status: 503, retryAfterSeconds: 1 });
  });

  it('as the error defines, if it does', () => {
    const exception = new ProblemException({
      status: 409,
      code: 'DTC_REFUSED',
      detail: 'No.',
      participant: 'payment',
    });

    expect(problemOf(exception)).toEqual({
      type: 'about:blank',
      title: 'Conflict',
      status: 409,
      code: 'DTC_REFUSED',
      detail: 'No.',
      participant: 'payment',
    });
  });

  it('by a type and a title of its own, if it has them', () => {
    const type = 'https://shop.example/problems/sold-out';
    const exception = new ProblemException({
      type,
      title: 'Sold out',
      status: 409,
      code: 'SOLD_OUT',
      detail: 'No.',
    });

    expect(problemOf(exception)).toEqual({
      type,
      title: 'Sold out',
      status: 409,
      code: 'SOLD_OUT',
      detail: 'No.',
    });
  });

  it.each([
    ['DTC_OVERLOADED', 503],
    ['DTC_SERVER_BUSY', 503],
    ['DTC_UNKNOWN_PARTICIPANT', 503],
    ['DTC_TRANSACTION_NOT_FOUND', 404],
    ['DTC_NOT_ACTIVE', 409],
  ])('by its code, if the coordinator threw it: %s', (code, status) => {
    const problem = problemOf(Object.assign(new Error('Too many.'), { code }));

    expect(problem).toMatchObject({ status, code, detail: 'Too many.' });
    expect(problem.retryAfterSeconds).toBe(status === 503 ? 1 : undefined);
  });

  it('by its outcome, if a transaction was aborted, and names the participant but not its error', () => {
    const outcome = {
      status: 'aborted',
      transactionId: 't-1',
      cause: 'failed',
      participant: 'payment',
      reason: 'the password is x',
    } as const;

    expect(problemOf(new NotCommittedError(outcome))).toEqual({
      type: 'about:blank',
      title: 'Service Unavailable',
      status: 503,
      code: 'DTC_PARTICIPANT_FAILED',
      detail: 'Nothing was changed: payment failed. It is safe to try again.',
      transactionId: 't-1',
      participant: 'payment',
      retryAfterSeconds: 1,
    });
  });

  it('with a sentence for each problem of the request', () => {
    expect(problemOf(new BadRequestException(['a: too small', 'b: unknown']))).toMatchObject({
      status: 400,
      code: 'DTC_BAD_REQUEST',
      detail: 'The request is not valid.',
      errors: ['a: too small', 'b: unknown'],
    });
  });

  it('with the message of the framework, if that refuses', () => {
    expect(problemOf(new NotFoundException('Cannot GET /x'))).toMatchObject({
      status: 404,
      detail: 'Cannot GET /x',
    });
    expect(problemOf(Object.assign(new Error('too large'), { statusCode: 413 }))).toMatchObject({
      status: 413,
      code: 'DTC_BODY_TOO_LARGE',
    });
  });

  it.each([
    [new ServiceUnavailableException('the password is x'), 503, 'DTC_REQUEST_REFUSED', 1],
    [new NotImplementedException({ message: ['the password is x'] }), 501, 'DTC_REQUEST_REFUSED', undefined],
    [new GatewayTimeoutException({ password: 'x' }), 504, 'DTC_REQUEST_REFUSED', undefined],
    [new HttpException('the password is x', 599), 599, 'DTC_REQUEST_REFUSED', undefined],
    [new InternalServerErrorException('the password is x'), 500, 'DTC_INTERNAL', undefined],
  ])(
    'with its status and without its text, if it is an HTTP exception from 500 on: %s',
    (error, status, code, wait) => {
      const problem = problemOf(error);

      expect(problem).toMatchObject({ status, code });
      expect(problem.retryAfterSeconds).toBe(wait);
      expect(JSON.stringify(problem)).not.toContain('password');
    },
  );

  it('with the status and the message of an HTTP exception, and without other fields of its body', () => {
    expect(problemOf(new ConflictException({ message: 'sold', by: 'the application' }))).toEqual({
      type: 'about:blank',
      title: 'Conflict',
      status: 409,
      code: 'DTC_REQUEST_REFUSED',
      detail: 'sold',
    });
  });

  it.each([
    new Error('the password is x'),
    Object.assign(new Error('the password is x'), { statusCode: 502 }),
    'x',
    null,
  ])('without internal details, if it is unexpected: %s', (error) => {
    const problem = problemOf(error);

    expect(problem).toMatchObject({ status: 500, code: 'DTC_INTERNAL' });
    expect(JSON.stringify(problem)).not.toContain('password');
  });
});
