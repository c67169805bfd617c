import { useEffect, useRef, useState } from 'preact/hooks';
import { copyText } from '../words/clipboard.js';

const SHOWN_MS = 2_000;
const SAYS = { idle: 'Copy', copied: 'Copied', failed: 'Not copied' } as const;

interface Props {
  readonly text: string;
  /** What is copied, for those who do not see it beside the button. */
  readonly what: string;
}

/** Copies a text, and says whether that was possible. */
export function CopyButton({ text, what }: Props) {
  const [state, setState] = useState<keyof typeof SAYS>('idle');
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);

  function copy(): void {
    void copyText(text).then((isCopied) => {
      clearTimeout(timer.current);
      setState(isCopied ? 'copied' : 'failed');
      timer.current = setTimeout(() => setState('idle'), SHOWN_MS);
    });
  }

  return (
    <>
      <button type="button" class="button button-quiet copy" aria-label={`Copy ${what}`} onClick={copy}>
        {SAYS[state]}
      </button>
      <span class="visually-hidden" role="status">
        {state === 'idle' ? '' : SAYS[state]}
      </span>
    </>
  );
}
