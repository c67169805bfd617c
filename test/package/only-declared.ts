/**
 * Loaded before a program, it lets the modules of a folder import only the packages that are named: what a
 * package manager guarantees to be there. Environment: `FOLDER`, a file: URL, and `DECLARED`, a JSON list of
 * names.
 */
import { registerHooks } from 'node:module';

const folder = process.env['FOLDER']!;
const declared = JSON.parse(process.env['DECLARED']!) as string[];

registerHooks({
  resolve(specifier, context, next) {
    const isFromFolder = context.parentURL?.startsWith(`${folder}/`) === true;
    if (isFromFolder && !/^(?:\.|node:|file:)/.test(specifier) && !declared.some(isOf(specifier))) {
      throw Object.assign(new Error(`Cannot find package '${specifier}'`), { code: 'ERR_MODULE_NOT_FOUND' });
    }
    return next(specifier, context);
  },
});

function isOf(specifier: string): (name: string) => boolean {
  return (name) => specifier === name || specifier.startsWith(`${name}/`);
}
