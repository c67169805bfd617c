import { useEffect, useRef, useState } from 'preact/hooks';
import { describeProblem } from '../../api/problem.js';
import { Problem } from '../../components/problem.js';
import { useSession } from '../../session.js';

const FORMATS = [
  ['csv', 'CSV', 'text/csv'],
  ['json', 'JSON', 'application/json'],
] as const;
/** A file of 5,000 transactions, of members that answer slowly. */
const WITHIN_MS = 60_000;

/** Saves what the filter finds as a file. */
export function ExportButtons({ parameters }: { readonly parameters: string }) {
  const { client } = useSession();
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [done, setDone] = useState('');
  const closed = useRef(new AbortController());
  useEffect(() => () => closed.current.abort(), []);

  async function save(format: 'csv' | 'json', type: string): Promise<void> {
    const query = new URLSearchParams(parameters);
    query.set('format', format);
    const signal = AbortSignal.any([closed.current.signal, AbortSignal.timeout(WITHIN_MS)]);
    setBusy(true);
    setProblem(null);
    setDone('');
    try {
      const answer = await client.open(`transactions/export?${query.toString()}`, type, signal);
      const name = /filename="([\w.-]+)"/.exec(answer.headers.get('Content-Disposition') ?? '')?.[1];
      const file = name ?? `transactions.${format}`;
      download(await answer.blob(), file);
      setDone(`${file} is saved. It says so at its end if it was cut.`);
    } catch (error) {
      if (!closed.current.signal.aborted) setProblem(describeProblem(error));
    } finally {
      setBusy(false);
    }
  }

  return (
    <div class="exports">
      {FORMATS.map(([format, label, type]) => (
        <button
          key={format}
          type="button"
          class="button"
          disabled={isBusy}
          onClick={() => void save(format, type)}
        >
          Export as {label}
        </button>
      ))}
      <Problem text={problem} />
      <span class="quiet" role="status">
        {done}
      </span>
    </div>
  );
}

/** A link cannot send the token, so the file is here before it is saved. */
function download(content: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // The browser has the file by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
}
