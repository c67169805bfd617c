/** An answer to a customer, with its times. */
export interface Told {
  readonly status: number;
  /** When the request was sent and when it was answered, in milliseconds. */
  readonly sentAt: number;
  readonly at: number;
  readonly orderId?: string | undefined;
  readonly transactionId?: string | undefined;
  readonly code?: string | undefined;
}

/**
 * Sends a request of a customer.
 *
 * @param signal ends the wait for the answer.
 * @default as long as the connection holds
 * @returns the answer with the fields of its body; undefined when there was none.
 */
export async function post<Fields>(
  url: string,
  headers: Readonly<Record<string, string>>,
  body?: object,
  signal?: AbortSignal,
): Promise<(Told & Partial<Fields>) | undefined> {
  const sentAt = performance.now();
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...headers, ...(body !== undefined && { 'Content-Type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal !== undefined && { signal }),
    });
    const fields = (await response.json()) as Partial<Fields & Told>;
    return { ...fields, status: response.status, sentAt, at: performance.now() };
  } catch {
    return undefined;
  }
}
