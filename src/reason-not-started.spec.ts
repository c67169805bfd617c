import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { reasonNotStarted } from './reason-not-started.js';

function systemError(code: string, fields: object): Error {
  return Object.assign(new Error(`${code}: a system error`), { code, ...fields });
}

describe('The reason why the application did not start', () => {
  it.each(['EACCES', 'EPERM', 'EROFS'])(
    'is the folder, not a port, when a folder cannot be accessed (%s)',
    (code) => {
      const reason = reasonNotStarted(systemError(code, { path: '/data/postgres', syscall: 'mkdir' }));
      expect(reason).toContain('/data/postgres cannot be read or written by this user');
      expect(reason).not.toContain('PORT');
    },
  );

  it('is the port when that is not allowed', () => {
    expect(
      reasonNotStarted(systemError('EACCES', { address: '127.0.0.1', port: 80, syscall: 'listen' })),
    ).toBe('port 80 of 127.0.0.1 is not allowed to this user (EACCES). Set PORT to one above 1023.');
  });

  it('is the port when another process listens there', async () => {
    const [one, other] = [createServer(), createServer()];
    one.listen(0, '127.0.0.1');
    await once(one, 'listening');
    const { port } = one.address() as { port: number };
    other.listen(port, '127.0.0.1');
    const [error] = await once(other, 'error');
    expect(reasonNotStarted(error)).toMatch(
      new RegExp(`^port ${port} of 127.0.0.1 is in use \\(EADDRINUSE\\)\\.`),
    );
    one.close();
  });

  it('has the code of the error, once', () => {
    const error = Object.assign(new Error('The log is in use.'), { code: 'DTC_LOG_IN_USE' });

    expect(reasonNotStarted(error)).toBe('The log is in use. (DTC_LOG_IN_USE)');
    expect(reasonNotStarted(systemError('EIO', {}))).toBe('EIO: a system error');
    const refused = Object.assign(new Error('password authentication failed'), { code: '28P01' });
    expect(reasonNotStarted(refused)).toBe('password authentication failed (28P01)');
  });

  it('is one line, whatever is thrown', () => {
    expect(reasonNotStarted(new Error('two\n  lines'))).toBe('two lines');
    expect(reasonNotStarted('a string')).toBe('a string');
  });
});
