import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { perform } from './inputs.js';
import { Stage } from './stage.js';
import { type Transcript, parseTranscript, replay } from './transcript.js';

const FOLDER = new URL('./', import.meta.url);
const UPDATE = process.env['UPDATE_GOLDEN'] === '1';
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.txt'));

function play(transcript: Transcript): Promise<string> {
  const stage = new Stage(transcript);
  return replay(transcript, async (input) => {
    await perform(stage, input);
    return stage.take();
  });
}

describe('the golden transcripts', () => {
  it('are all there', () => {
    expect(files.length).toBeGreaterThanOrEqual(25);
  });

  it.each(files)('%s happens as it is written', async (name) => {
    const file = new URL(name, FOLDER);
    const happened = await play(parseTranscript(readFileSync(file, 'utf8')));
    if (UPDATE) writeFileSync(file, happened);
    expect(happened).toBe(readFileSync(file, 'utf8'));
    expect(happened).not.toContain('DEFECT');
  });
});

describe('the replay', () => {
  it('writes the same transcript again from the inputs alone', async () => {
    const happened = await play(parseTranscript('participants: a\n\n> run a\n  0 ms  a  is left alone\n'));
    expect(happened).toBe(
      'participants: a\n\n> run a\n' +
        '       0 ms  transaction  ACTIVE → PREPARING\n' +
        '       0 ms  a            is asked to prepare\n',
    );
  });

  it.each([
    ['an input that there is none of', '> a dances', '"a dances" is no input'],
    ['a participant that there is none of', '> b answers prepare: commit', 'There is no participant b'],
    ['an answer to a call that was not made', '> a answers prepare: commit', 'a was not called to prepare'],
    ['a line that is neither', 'a votes', '"a votes" is no remark'],
  ])('refuses %s', async (_, line, message) => {
    const replayed = async () => play(parseTranscript(`participants: a\n\n${line}\n`));
    await expect(replayed()).rejects.toThrow(message);
  });
});
