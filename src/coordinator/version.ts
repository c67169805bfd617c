import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** The version of this package, which finds itself by its name wherever it was built or installed to. */
export const VERSION = (require('nestjs-dtc/package.json') as { version: string }).version;
