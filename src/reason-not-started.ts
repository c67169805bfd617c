interface SystemError extends Error {
  readonly code: string;
  readonly address?: string;
  readonly port?: number;
  /** The file or folder at fault; undefined when a port is at fault. */
  readonly path?: string;
}

/** @returns why the application did not start, in one line with the remedy. */
export function reasonNotStarted(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, address, port, path } = error as SystemError;
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} of ${address} is in use (${code}). Stop the process that listens there, or set PORT to another one.`;
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      if (path !== undefined) return notAccessible(path, code);
      return `port ${port} of ${address} is not allowed to this user (${code}). Set PORT to one above 1023.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${address ?? 'HOST'} is not an address of this machine (${code}). Set HOST to an address of this machine.`;
    default:
      return withCode(error.message.replaceAll(/\s*\n\s*/g, ' '), code);
  }
}

function notAccessible(path: string, code: string): string {
  return `${path} cannot be read or written by this user (${code}). Give the user access, or start in another folder.`;
}

/**
 * The runbook has a paragraph on each code of the library. Those of Node and of databases can be searched
 * for.
 */
function withCode(message: string, code: unknown): string {
  return typeof code === 'string' && !message.includes(code) ? `${message} (${code})` : message;
}
