interface ListenError extends Error {
  readonly code: string;
  readonly address?: string;
  readonly port?: number;
}

/** @returns why the application did not start, in one line that says what to do. */
export function reasonNotStarted(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, address, port } = error as ListenError;
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} of ${address} is in use. Stop what listens there, or set PORT to another one.`;
    case 'EACCES':
      return `port ${port} of ${address} is not allowed to this user. Set PORT to one above 1023.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${address ?? 'HOST'} is no address of this machine. Set HOST to one that is.`;
    default:
      return error.message.replaceAll(/\s*\n\s*/g, ' ');
  }
}
