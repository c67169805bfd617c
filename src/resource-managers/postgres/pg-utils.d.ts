declare module 'pg/lib/utils.js' {
  /** @returns a value as it is sent to the server. */
  export function prepareValue(value: unknown): string | Buffer | null;
}
