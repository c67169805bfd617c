/**
 * Waits for some work, and no longer than it may take. The work itself goes on.
 *
 * @param ms how long it may take, in milliseconds.
 * @param late gives, or throws, what comes instead when the time is over.
 * @returns what the work gives, or what `late` does.
 * @throws what the work throws in time.
 */
export async function within<T, L>(ms: number, work: Promise<T>, late: () => L): Promise<T | L> {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    return await Promise.race([work, timeUp.then(late)]);
  } finally {
    clearTimeout(timer);
  }
}
