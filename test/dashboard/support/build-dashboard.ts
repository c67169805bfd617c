import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'vite';

/** @returns a folder of its own with the dashboard as it is shipped; the caller deletes it. */
export async function buildDashboard(): Promise<string> {
  const outDir = await mkdtemp(join(tmpdir(), 'dashboard-'));
  await build({ root: resolve('dashboard'), logLevel: 'warn', build: { outDir, emptyOutDir: true } });
  return outDir;
}
