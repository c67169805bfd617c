import { join } from 'node:path';
import { defineConfig } from 'vite';
import { runbook } from './runbook-sections.js';

/** Builds the page into the package; the coordinator serves it at `/dashboard`. */
export default defineConfig({
  root: import.meta.dirname,
  plugins: [runbook()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: join(import.meta.dirname, '../dist/dashboard'),
    emptyOutDir: true,
    target: 'es2022',
    // The security policy of the page allows no data: address and nothing inline.
    assetsInlineLimit: 0,
    modulePreload: false,
    license: { fileName: 'licenses.md' },
  },
  experimental: {
    // The page lives at /dashboard, without a slash, under whatever prefix: its files are beneath its own
    // name.
    renderBuiltUrl: (filename, { hostType }) =>
      hostType === 'html' ? `./dashboard/${filename}` : { relative: true },
  },
});
