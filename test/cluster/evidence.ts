import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * The evidence of a run, for the case that something is wrong: when each fault came, and the output of each
 * process.
 */
export class Evidence {
  readonly folder = mkdtempSync(join(tmpdir(), 'cluster-evidence-'));
  private readonly since = performance.now();

  /** A line of the course of events. */
  note(what: string): void {
    const seconds = ((performance.now() - this.since) / 1_000).toFixed(3);
    appendFileSync(join(this.folder, 'events.txt'), `${new Date().toISOString()} ${seconds} ${what}\n`);
  }

  keep(name: string, content: string | object): void {
    const text = typeof content === 'string' ? content : JSON.stringify(content, undefined, 1);
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(join(this.folder, name), text);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
