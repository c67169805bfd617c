import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { allBlocks } from './blocks.js';

/**
 * The shells that a reader may paste a block into, each with what makes it parse as at a prompt and run
 * nothing.
 */
const SHELLS = [
  ['bash', ['-n']],
  ['zsh', ['-f', '-n']],
] as const;

const blocks = allBlocks('sh').map(({ document, line, code }) => [`${document}:${line}`, code] as const);

function isInstalled(shell: string): boolean {
  return spawnSync(shell, ['-c', 'true']).status === 0;
}

/** @returns each comment of a block. A `#` within quotes or a word is none. */
function commentsIn(code: string): string[] {
  const unquoted = code.replaceAll(/'[^']*'|"(?:\\.|[^"\\])*"/g, (text) => 'x'.repeat(text.length));
  return Array.from(unquoted.matchAll(/(?:^|\s)(#.*)$/gm), ([, comment]) => comment!);
}

describe('the blocks for a shell', () => {
  it('are there', () => {
    expect(blocks.length).toBeGreaterThan(15);
  });

  it.each(blocks)('%s has no comment: zsh takes one at its prompt for words of the command', (_, code) => {
    expect(commentsIn(code)).toEqual([]);
  });

  it('would be found with a comment', () => {
    expect(commentsIn('npm test  # every test\necho "# none" a#b\n# one\n')).toEqual([
      '# every test',
      '# one',
    ]);
  });

  describe.each(SHELLS)('in %s', (shell, options) => {
    // .ci/run installs zsh; where a shell is missing its tests are reported as left out.
    it.runIf(isInstalled(shell)).each(blocks)('%s can be parsed', (_, code) => {
      const { status, stderr } = spawnSync(shell, options, { input: code, encoding: 'utf8' });

      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    });

    it.runIf(isInstalled(shell))('would be refused with a quote that is open', () => {
      expect(spawnSync(shell, options, { input: "echo it's\n" }).status).not.toBe(0);
    });
  });
});
