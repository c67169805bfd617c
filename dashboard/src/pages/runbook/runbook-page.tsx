import { useEffect, useState } from 'preact/hooks';
import { PageTitle } from '../../components/page-title.js';
import type { RunbookSections } from '../../../runbook-sections.js';

/**
 * One paragraph of the runbook. The build takes it from the document itself, so it can be read when nothing
 * else is reached.
 */
export function RunbookPage({ name }: { readonly name: string }) {
  const [sections, setSections] = useState<RunbookSections | null>(null);
  const [isMissing, setMissing] = useState(false);
  useEffect(() => {
    import('virtual:runbook').then(
      (module) => setSections(module.default),
      () => setMissing(true),
    );
  }, []);
  const section = sections?.[name.toLowerCase()];
  return (
    <>
      <PageTitle title={section?.title ?? name} />
      {section !== undefined && (
        // The text is that of the repository, made at the build.
        <div class="runbook" dangerouslySetInnerHTML={{ __html: section.html }} />
      )}
      {section === undefined && <p>{textWithout(sections, isMissing)}</p>}
      <p>
        <a href="#/">Back to the overview</a>
      </p>
    </>
  );
}

function textWithout(sections: RunbookSections | null, isMissing: boolean): string {
  if (isMissing) return 'The runbook could not be loaded. It is docs/runbook.md.';
  return sections === null ? 'Loading…' : 'The runbook has no such paragraph.';
}
