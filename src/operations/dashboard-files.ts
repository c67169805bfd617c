import { type Dirent, readFileSync, readdirSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';

/** One file of the built dashboard, as it is sent. */
export interface DashboardFile {
  readonly body: Buffer;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
}

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.svg': 'image/svg+xml; charset=utf-8',
};

/** Only content of this origin is run, shown or requested, and no page may show this one in a frame. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': CONTENT_SECURITY_POLICY,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

const ONE_YEAR_SECONDS = 365 * 24 * 3600;
const INDEX = 'index.html';

/**
 * The files of the built dashboard. They are read once. A request is looked up in their list and never
 * becomes a path on the disk, so it cannot leave the folder.
 */
export class DashboardFiles {
  private readonly files: ReadonlyMap<string, DashboardFile>;

  private constructor(files: ReadonlyMap<string, DashboardFile>) {
    this.files = files;
  }

  /** @param folder the output of the build. A folder that is missing or has no index gives no files. */
  static read(folder: string): DashboardFiles {
    const names = entriesOf(folder)
      .filter((entry) => entry.isFile() && CONTENT_TYPES[extname(entry.name)] !== undefined)
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'));
    if (!names.includes(INDEX)) return new DashboardFiles(new Map());
    return new DashboardFiles(new Map(names.map((name) => [name, describe(name, join(folder, name))])));
  }

  /** Whether there is a dashboard to serve. */
  get isBuilt(): boolean {
    return this.files.size > 0;
  }

  /** @param name relative to the folder, with `/` between its parts. */
  find(name: string): DashboardFile | undefined {
    return this.files.get(name);
  }
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function describe(name: string, path: string): DashboardFile {
  return {
    body: readFileSync(path),
    contentType: CONTENT_TYPES[extname(name)]!,
    headers: {
      ...SECURITY_HEADERS,
      // The build puts a hash of the content into the names of assets, so a name always has the same content.
      'Cache-Control': name.startsWith('assets/')
        ? `public, max-age=${ONE_YEAR_SECONDS}, immutable`
        : 'no-cache',
    },
  };
}
