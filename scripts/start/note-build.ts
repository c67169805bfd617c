import { fileURLToPath } from 'node:url';
import { noteAfter, noteBefore } from './build-state.ts';

/** `npm run build` notes what it has built, so that `npm start` does not build it again. */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

if (process.argv[2] === 'before') noteBefore(ROOT);
else noteAfter(ROOT);
