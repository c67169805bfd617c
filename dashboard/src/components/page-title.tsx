import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { useLive } from '../live/use-live.js';

/** Whether the user has come from another page of the dashboard, so that the new heading must be read out. */
let isFirstPage = true;

interface Props {
  readonly title: string;
  /** Beside the heading. */
  readonly children?: ComponentChildren;
}

/** The heading of a page, which gets the focus when the page opens. */
export function PageTitle({ title, children }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  const { overview } = useLive();
  const attention = overview?.alarmsTotal ?? 0;

  useEffect(() => {
    if (!isFirstPage) heading.current?.focus();
    isFirstPage = false;
  }, []);
  useEffect(() => {
    const name = overview?.coordinator.name;
    document.title = [attention > 0 ? `(${attention}) ${title}` : title, name].filter(Boolean).join(' · ');
  }, [title, attention, overview?.coordinator.name]);

  return (
    <div class="page-title">
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      {children}
    </div>
  );
}
