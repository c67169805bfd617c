import type { ComponentChildren } from 'preact';
import type { Answer } from '../api/use-answer.js';
import { PageTitle } from './page-title.js';
import { Problem } from './problem.js';

interface Props<T> {
  readonly title: string;
  readonly loaded: Answer<T>;
  readonly children: (answer: T) => ComponentChildren;
}

/** A page that shows the answer of one route, and a button that asks for it again. */
export function LoadedPage<T>({ title, loaded, children }: Props<T>) {
  const { answer, problem, isLoading, reload } = loaded;
  return (
    <>
      <PageTitle title={title}>
        <button type="button" class="button" onClick={reload} disabled={isLoading}>
          Refresh
        </button>
      </PageTitle>
      <Problem text={problem} />
      {answer === null && problem === null && <p role="status">Loading…</p>}
      {answer !== null && children(answer)}
    </>
  );
}
