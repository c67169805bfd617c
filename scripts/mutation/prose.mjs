import { PluginKind, declareValuePlugin } from '@stryker-mutator/api/plugin';

/**
 * Leaves alone what people read: the words of an error, of a refusal or of a log line. The tests that pin
 * them down are about what they name, and a changed word is no changed protocol. Every other text (states,
 * votes, codes, keys) is mutated.
 */
const ignorer = {
  shouldIgnore(path) {
    if (path.isTemplateLiteral() || (path.isStringLiteral() && path.node.value.includes(' '))) {
      const call = path.findParent((parent) => parent.isNewExpression() || parent.isCallExpression());
      if (call !== null && speaks(call)) return 'words for people';
    }
    return undefined;
  },
};

/** @returns whether the call makes an error or a refusal, or writes a log line. */
function speaks(call) {
  const { callee } = call.node;
  if (callee.type === 'Super') return true;
  if (callee.type === 'MemberExpression') return callee.object.property?.name === 'logger';
  if (callee.type !== 'Identifier') return false;
  return call.isNewExpression() ? callee.name.endsWith('Error') : callee.name === 'refuse';
}

export const strykerPlugins = [declareValuePlugin(PluginKind.Ignore, 'prose', ignorer)];
