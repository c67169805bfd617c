/**
 * Waits for some work, at most for its time limit. The work itself continues.
 *
 * @param ms the time limit, in milliseconds.
 * @param late returns or throws the replacement when the time is up.
 * @returns the result of the work, or of `late`.
 * @throws the error of the work, if it comes in time.
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
