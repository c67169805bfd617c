import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readImports } from './imports.ts';
import { pictures } from './pictures.ts';

/** Draws the architecture from the imports of src/: `npm run picture` writes the pictures of docs/images. */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

for (const [name, content] of pictures(readImports(ROOT, 'src'))) {
  writeFileSync(`${ROOT}docs/images/${name}`, content);
  console.log(`docs/images/${name}`);
}
